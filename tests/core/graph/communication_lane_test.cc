#include "core/graph/communication_lane.h"

#include <gtest/gtest.h>

#include <atomic>

#include "core/base/error.h"

namespace synthesizer {
namespace {

TEST(CommunicationLane, RunsJobsInTheOrderTheyWereSubmittedRoundAfterRound) {
  std::vector<int> ran;
  CommunicationLane lane({[&] { ran.push_back(0); }, [&] { ran.push_back(1); }, [&] { ran.push_back(2); }});
  for (int round = 0; round < 100; ++round) {
    ran.clear();
    lane.submit(2);
    lane.submit(0);
    lane.wait(0);
    EXPECT_EQ(ran, (std::vector<int>{2, 0}));
    lane.submit(1);
    lane.finish();
    EXPECT_EQ(ran, (std::vector<int>{2, 0, 1}));
  }
}

TEST(CommunicationLane, AnErrorReachesWhoeverWaits) {
  CommunicationLane lane({[] { fail("link down"); }, [] {}});
  lane.submit(0);
  lane.submit(1);
  EXPECT_THROW(lane.wait(1), Error);
  EXPECT_THROW(lane.finish(), Error);
}

}  // namespace
}  // namespace synthesizer
