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

// Sums are made in a binary tree over the ranks, neighbours first: other orders of these values give other bits.
TEST_P(ThreadRanks, SumsInATree) {
  const int size = GetParam();
  constexpr int kCount = 3001;  // several pieces, and a rest
  const auto value = [](int rank, int i) {
    return std::ldexp(1.0f + static_cast<float>((i * 31 + rank * 17) % 101) / 128, (i + 5 * rank) % 23 - 11);
  };
  std::vector<float> expected(kCount);
  for (int i = 0; i < kCount; ++i) {
    std::vector<float> sums;
    for (int r = 0; r < size; ++r) sums.push_back(value(r, i));
    for (size_t step = 1; step < sums.size(); step *= 2)
      for (size_t r = 0; r + step < sums.size(); r += 2 * step) sums[r] += sums[r + step];
    expected[static_cast<size_t>(i)] = sums[0];
  }
  run_ranks(size, [&](Communicator& ranks) {
    std::vector<float> data(kCount);
    for (int i = 0; i < kCount; ++i) data[static_cast<size_t>(i)] = value(ranks.rank(), i);
    std::vector<float> scattered(kCount / size);
    ranks.reduce_scatter(data.data(), scattered.data(), kCount / size, DType::kFloat32, Reduction::kSum);
    ranks.all_reduce(data.data(), kCount, DType::kFloat32, Reduction::kSum);
    EXPECT_EQ(data, expected);
    const auto begin = expected.begin() + ranks.rank() * static_cast<int64_t>(scattered.size());
    EXPECT_EQ(scattered, std::vector<float>(begin, begin + static_cast<int64_t>(scattered.size())));
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

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadRanks, ::testing::Values(1, 2, 3, 4, 5, 6, 7, 8));

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
