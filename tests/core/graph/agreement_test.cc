#include "core/graph/agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "dist/thread_communicator.h"

namespace synthesizer {
namespace {

using ::testing::StartsWith;
using ::testing::StrEq;
using ::testing::ThrowsMessage;

TEST(Agreement, AllRanksThrowTheErrorOfTheLowest) {
  run_ranks(4, [](Communicator& world) {
    EXPECT_THAT(
        [&] {
          run_together(world, [&] {
            if (world.rank() % 2 == 1) fail("no luck for {}", world.rank());
          });
        },
        ThrowsMessage<Error>(StrEq("no luck for 1 [rank 1/4]")));
    EXPECT_THAT([&] { run_on_first(world, [&] { fail_usage("wrong"); }); },
                ThrowsMessage<UsageError>(StrEq("wrong [rank 0/4]")));
    EXPECT_THAT([&] { run_on_first(world, [&] { throw std::runtime_error(""); }); },
                ThrowsMessage<Error>(StrEq(" [rank 0/4]")));
    int ran = 0;
    run_together(world, [&] { ++ran; });
    run_on_first(world, [&] { ++ran; });
    EXPECT_EQ(ran, world.rank() == 0 ? 2 : 1);
  });
}

TEST(Agreement, WhatAllRanksMeetNamesNone) {
  run_ranks(3, [](Communicator& world) {
    EXPECT_THAT([&] { run_together(world, [] { fail_usage("wrong"); }); }, ThrowsMessage<UsageError>(StrEq("wrong")));
  });
}

TEST(Agreement, FactsThatDifferAreNamed) {
  run_ranks(4, [](Communicator& world) {
    const auto facts_of = [&](int odd, const std::string& value) {
      Facts facts = {{"command", "train"}, {"seed", "1"}, {"steps", "4"}};
      if (world.rank() >= odd) facts[1].second = value;
      return facts;
    };
    require_equal(world, facts_of(4, ""));
    require_equal(world, {});
    EXPECT_THAT([&] { require_equal(world, facts_of(2, "7")); },
                ThrowsMessage<UsageError>(
                    StrEq("seed: got 7, but rank 0 was started with 1: expected the same on all ranks. Start them all "
                          "with one program and one command [rank 2/4]")));
    Facts fewer = facts_of(4, "");
    if (world.rank() == 3) fewer.pop_back();
    EXPECT_THAT([&] { require_equal(world, fewer); },
                ThrowsMessage<UsageError>(StartsWith("steps: got nothing, but rank 0 was started with 4")));
    if (world.rank() == 3) fewer = facts_of(4, ""), fewer.emplace_back("more", "5");
    if (world.rank() != 3) fewer = facts_of(4, "");
    EXPECT_THAT([&] { require_equal(world, fewer); },
                ThrowsMessage<UsageError>(StartsWith("more: got 5, but rank 0 was started with nothing")));
  });
}

TEST(Agreement, ARankAloneIsNotNamed) {
  run_ranks(1, [](Communicator& world) {
    EXPECT_THAT([&] { run_together(world, [] { fail_usage("wrong"); }); }, ThrowsMessage<UsageError>(StrEq("wrong")));
  });
}

}  // namespace
}  // namespace synthesizer
