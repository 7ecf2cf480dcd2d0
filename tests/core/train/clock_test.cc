#include "core/train/clock.h"

#include <gtest/gtest.h>

#include "core/graph/timeline.h"
#include "dist/thread_communicator.h"

namespace synthesizer {
namespace {

constexpr int64_t kHour = 3'600'000'000'000;

TEST(Clock, IsNamedByTheSystem) {
  EXPECT_FALSE(steady_clock_name().empty());
  EXPECT_EQ(steady_clock_name(), steady_clock_name());
}

TEST(Clock, OfTheSameNameNeedsNoMeasuring) {
  run_ranks(
      3, [](Communicator& world) { EXPECT_EQ(clock_ahead(world, "host", [&] { return world.rank() * kHour; }), 0); });
}

TEST(Clock, OfAnotherHostIsMeasured) {
  for (const char* first_name : {"host 0", ""})
    run_ranks(4, [&](Communicator& world) {
      const int64_t skew = world.rank() * kHour - kHour;
      const std::string name = world.rank() == 0 ? first_name : *first_name == '\0' ? "" : "another";
      const int64_t ahead = clock_ahead(world, name, [&] { return steady_nanoseconds() + skew; });
      // Threads that have to wait for a core come late to see a barrier's end.
      EXPECT_NEAR(static_cast<double>(ahead), static_cast<double>(world.rank() * kHour), 0.2e9);
    });
}

}  // namespace
}  // namespace synthesizer
