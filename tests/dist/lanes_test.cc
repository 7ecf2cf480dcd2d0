// The two lanes on hand-made steps; every number is worked out by hand beside it.
#include "dist/lanes.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/base/error.h"

namespace synthesizer {
namespace {

LaneSlot op(double seconds) { return {seconds, false, 0}; }
LaneSlot collective(double seconds, int wait) { return {seconds, true, wait}; }

struct LanesCase {
  std::string name;
  std::vector<LaneSlot> slots;
  double taken, step, compute, communication;
};

class Lanes : public testing::TestWithParam<LanesCase> {};

TEST_P(Lanes, TakeWhatAHandWorksOut) {
  const LanesCase& c = GetParam();
  const LaneTimes times = run_lanes(c.slots, c.taken);
  EXPECT_NEAR(times.step, c.step, 1e-12);
  EXPECT_NEAR(times.compute, c.compute, 1e-12);
  EXPECT_NEAR(times.communication, c.communication, 1e-12);
  EXPECT_NEAR(times.exposed(), c.step - c.compute, 1e-12);
}

INSTANTIATE_TEST_SUITE_P(
    Steps, Lanes,
    testing::Values(LanesCase{"nothing", {}, 0, 0, 0, 0}, LanesCase{"computing_alone", {op(1), op(2)}, 0, 3, 3, 0},
                    // 1 to 3 beside 1 to 5
                    LanesCase{"hidden", {op(1), collective(2, 3), op(4), op(1)}, 0, 6, 6, 2},
                    // 1 to 5, waited for from 2 on
                    LanesCase{"waited_for", {op(1), collective(4, 3), op(1), op(1)}, 0, 6, 3, 4},
                    // needed by nothing but the end: 1 to 6
                    LanesCase{"at_the_end", {op(1), collective(5, 3), op(2)}, 0, 6, 3, 5},
                    // 0 to 3, then 3 to 5; the first is waited for at 3, the second at 5
                    LanesCase{
                        "one_after_the_other", {collective(3, 3), collective(2, 4), op(1), op(1), op(1)}, 0, 6, 3, 5},
                    // 1 of 2 in the 2 seconds of the collective, the rest alone: 3
                    LanesCase{"half_taken", {collective(2, 2), op(2)}, 0.5, 3, 2, 2},
                    // the op ends within the collective, at 2 of 4; the end waits
                    LanesCase{"half_taken_within", {collective(4, 2), op(1)}, 0.5, 4, 1, 4},
                    // one core: 3 of the collective, then 2
                    LanesCase{"all_taken", {collective(3, 2), op(2)}, 1, 5, 2, 3},
                    // 0 to 1 alone; then 1 to 3 and, from 3, 3 to 4 are busy: 2 at half, 1 at half, the last 0.5 alone
                    LanesCase{"two_taken", {op(1), collective(2, 4), collective(1, 4), op(2), op(0)}, 0.5, 4.5, 3, 3}),
    [](const auto& info) { return info.param.name; });

TEST(LanesOfAGraph, RefuseACollectiveThatIsNeededBeforeItRuns) {
  const std::vector<LaneSlot> slots = {op(1), collective(1, 1)};
  EXPECT_THROW(run_lanes(slots, 0), Error);
}

}  // namespace
}  // namespace synthesizer
