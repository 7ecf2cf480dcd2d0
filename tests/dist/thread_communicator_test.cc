#include "dist/thread_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "tests/dist/collectives.h"

namespace synthesizer {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class ThreadRanks : public ::testing::TestWithParam<int> {};

TEST_P(ThreadRanks, EveryCollective) { run_ranks(GetParam(), check_collectives); }

TEST_P(ThreadRanks, Split) { run_ranks(GetParam(), check_split); }

TEST_P(ThreadRanks, EveryRankRunsOnce) {
  std::vector<std::atomic<int>> runs(static_cast<size_t>(GetParam()));
  run_ranks(GetParam(), [&](Communicator& ranks) { ++runs[static_cast<size_t>(ranks.rank())]; });
  for (const auto& count : runs) EXPECT_EQ(count, 1);
}

// Floating-point sums are added in rank order: 1 + 2^-24 + 2^-24 … loses each small term in float32, in this order
// only.
TEST_P(ThreadRanks, SumsInRankOrder) {
  run_ranks(GetParam(), [](Communicator& ranks) {
    std::vector<float> data(1001, ranks.rank() == 0 ? 1.0f : std::ldexp(1.0f, -24));
    ranks.all_reduce(data.data(), 1001, DType::kFloat32, Reduction::kSum);
    EXPECT_EQ(data, std::vector<float>(1001, 1.0f));
  });
}

TEST_P(ThreadRanks, FirstExceptionIsPropagated) {
  if (GetParam() == 1) {
    EXPECT_THAT([] { run_ranks(1, [](Communicator&) { fail_usage("alone"); }); }, ThrowsMessage<UsageError>("alone"));
    return;
  }
  std::atomic<int> told = 0;
  const auto run = [&] {
    run_ranks(GetParam(), [&](Communicator& ranks) {
      const auto pair = ranks.split(ranks.rank() / 2, 0);
      if (ranks.rank() == 1) throw std::out_of_range("rank 1 broke");
      try {
        ranks.barrier();
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("another rank failed"));
        ++told;
        throw;
      }
    });
  };
  EXPECT_THAT(run, ThrowsMessage<std::out_of_range>("rank 1 broke"));
  EXPECT_EQ(told, GetParam() - 1);
}

TEST_P(ThreadRanks, NanSurvivesTheMaximum) {
  for (int holder = 0; holder < GetParam(); ++holder) {
    run_ranks(GetParam(), [&](Communicator& ranks) {
      double value = ranks.rank() == holder ? std::numeric_limits<double>::quiet_NaN() : ranks.rank();
      ranks.all_reduce(&value, 1, DType::kFloat64, Reduction::kMax);
      EXPECT_TRUE(std::isnan(value));
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadRanks, ::testing::Values(1, 2, 3, 4, 8));

TEST(ThreadCommunicator, DisagreementIsAnError) {
  const auto run = [](auto call) { return [call] { run_ranks(3, call); }; };
  EXPECT_THAT(run([](Communicator& ranks) {
                float value[3] = {};
                ranks.all_reduce(value, ranks.rank() == 2 ? 3 : 2, DType::kFloat32, Reduction::kSum);
              }),
              ThrowsMessage<Error>(HasSubstr("ranks disagree: all_reduce(")));
  EXPECT_THAT(run([](Communicator& ranks) {
                if (ranks.rank() == 0) ranks.barrier();
                if (ranks.rank() != 0) ranks.split(0, 0);
              }),
              ThrowsMessage<Error>(HasSubstr("ranks disagree: ")));
}

TEST(ThreadCommunicator, ReturningEarlyIsAnError) {
  const auto run = [] {
    run_ranks(3, [](Communicator& ranks) {
      if (ranks.rank() != 2) ranks.barrier();
    });
  };
  EXPECT_THAT(run, ThrowsMessage<Error>(HasSubstr("barrier: rank 2 has returned without this call")));
}

TEST(ThreadCommunicator, RootOutOfRange) {
  EXPECT_THROW(run_ranks(2, [](Communicator& ranks) { ranks.broadcast(nullptr, 0, 2); }), Error);
}

}  // namespace
}  // namespace synthesizer
