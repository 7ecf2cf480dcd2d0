#include "core/train/agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "dist/thread_communicator.h"

namespace synthesizer {
namespace {

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

TEST(Agreement, ARankAloneIsNotNamed) {
  run_ranks(1, [](Communicator& world) {
    EXPECT_THAT([&] { run_together(world, [] { fail_usage("wrong"); }); }, ThrowsMessage<UsageError>(StrEq("wrong")));
  });
}

}  // namespace
}  // namespace synthesizer
