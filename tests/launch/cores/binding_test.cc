// Ranks on their cores, as the kernel has it: what each thread of each rank may run on. Run by mpirun on 1, 2 and 3
// ranks, unbound; as many as the machine has cores or fewer are bound, more are not.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/graph/communication_lane.h"
#include "launch/cores.h"
#include "tests/dist/mpi_main.h"

namespace synthesizer {
namespace {

Communicator& world() { return mpi_test_environment().world(); }

void allow(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(static_cast<size_t>(core), &set);
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task"))
    sched_setaffinity(std::atoi(task.path().filename().c_str()), sizeof set, &set);
}

// Of every thread of this process: "0-3,8" as the kernel writes it.
std::set<std::string> lists_of_threads() {
  std::set<std::string> lists;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("Cpus_allowed_list:")) lists.insert(line);
  }
  return lists;
}

// What every rank may run on, one after the other.
std::vector<std::vector<int>> of_all_ranks(const std::vector<int>& cores) {
  constexpr int64_t kMost = 1024;
  std::vector<int32_t> own(kMost, -1), all(static_cast<size_t>(kMost * world().size()));
  std::copy(cores.begin(), cores.end(), own.begin());
  world().all_gather(own.data(), all.data(), kMost, DType::kInt32);
  std::vector<std::vector<int>> ranks(static_cast<size_t>(world().size()));
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] >= 0) ranks[i / kMost].push_back(all[i]);
  return ranks;
}

class Binding : public testing::Test {
 protected:
  void SetUp() override { all_ = allowed_cores(); }
  void TearDown() override {
    allow(all_);
    unsetenv("SYNTHESIZER_BIND");
    setenv("OMP_NUM_THREADS", "1", 1);
  }
  bool enough() const { return world().size() > 1 && static_cast<int>(all_.size()) >= world().size(); }

  std::vector<int> all_;
};

TEST_F(Binding, EachRankHasItsShare) {
  EXPECT_EQ(take_cores(world(), 0), 1);  // OMP_NUM_THREADS
  const std::vector<int> own = allowed_cores();
  if (!enough()) {
    EXPECT_EQ(own, all_);
    return;
  }
  std::vector<int> expected = share_of_cores(in_order_of_nearness(all_), world().rank(), world().size());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(own, expected);
  std::vector<int> joined;
  for (const std::vector<int>& rank : of_all_ranks(own)) joined.insert(joined.end(), rank.begin(), rank.end());
  std::sort(joined.begin(), joined.end());
  EXPECT_EQ(joined, all_) << "two ranks on one core, or a core of none";
}

// Those of MPI, which were there before; of OpenMP; and the communication lane's.
TEST_F(Binding, HoldsForEveryThread) {
  take_cores(world(), 0);
  std::set<int> ran;
#pragma omp parallel num_threads(2)
  {
#pragma omp critical
    ran.insert(sched_getcpu());
  }
  std::promise<int> core;
  CommunicationLane lane({[&] { core.set_value(sched_getcpu()); }});
  lane.submit(0);
  lane.finish();
  ran.insert(core.get_future().get());
  const std::vector<int> own = allowed_cores();
  for (const int on : ran) EXPECT_THAT(own, testing::Contains(on));
  EXPECT_EQ(lists_of_threads().size(), 1u) << fmt::format("{}", *lists_of_threads().rbegin());
}

TEST_F(Binding, SharesWhatTheJobMayHave) {
  // As of a cgroup, for all ranks alike.
  const std::vector<int> part(all_.begin(), all_.size() > 1 ? all_.end() - 1 : all_.end());
  allow(part);
  unsetenv("OMP_NUM_THREADS");
  const int ranks = world().size(), cores = static_cast<int>(part.size());
  EXPECT_EQ(take_cores(world(), 0), std::max(1, cores / ranks));
  const size_t own = allowed_cores().size();
  if (ranks > cores)
    EXPECT_EQ(own, part.size());
  else
    EXPECT_LE(own, static_cast<size_t>(cores / ranks + 1));
  for (const int core : allowed_cores()) EXPECT_THAT(part, testing::Contains(core));
}

TEST_F(Binding, LeavesWhatTheLauncherHasBound) {
  const auto turn = static_cast<size_t>(world().rank()) % all_.size();
  allow({all_[turn]});
  if (world().size() > 1 && all_.size() > 1) take_cores(world(), 0);
  EXPECT_THAT(allowed_cores(), testing::ElementsAre(all_[turn]));
}

TEST_F(Binding, NotForMoreThreadsThanThereAreCores) {
  const int more = static_cast<int>(all_.size()) / world().size() + 1;
  EXPECT_EQ(take_cores(world(), more), more);
  EXPECT_EQ(allowed_cores(), all_);
  setenv("OMP_NUM_THREADS", fmt::format("{}", more).c_str(), 1);
  EXPECT_EQ(take_cores(world(), 0), more);
  EXPECT_EQ(allowed_cores(), all_);
}

TEST_F(Binding, CanBeSwitchedOff) {
  setenv("SYNTHESIZER_BIND", "none", 1);
  unsetenv("OMP_NUM_THREADS");
  EXPECT_EQ(take_cores(world(), 0), std::max(1, static_cast<int>(all_.size()) / world().size()));
  EXPECT_EQ(allowed_cores(), all_);
  setenv("SYNTHESIZER_BIND", "yes", 1);
  EXPECT_THAT([] { take_cores(world(), 0); },
              testing::ThrowsMessage<UsageError>("SYNTHESIZER_BIND: got yes, expected cores or none"));
}

}  // namespace
}  // namespace synthesizer
