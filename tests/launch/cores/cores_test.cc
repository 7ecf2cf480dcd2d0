// How cores are ordered and shared out. That ranks are really bound: binding_test.cc.
#include "launch/cores.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <numeric>

#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

std::vector<int> first(int count) {
  std::vector<int> cores(static_cast<size_t>(count));
  std::iota(cores.begin(), cores.end(), 0);
  return cores;
}

// As the kernel shows it, where such a core is.
void add_core(const TemporaryFolder& system, int core, int node, int package, int physical) {
  const std::string at = fmt::format("cpu/cpu{}/", core);
  system.write(fmt::format("{}node{}/cpulist", at, node), "");
  system.write(at + "topology/physical_package_id", fmt::format("{}\n", package));
  system.write(at + "topology/die_id", "0\n");
  system.write(at + "topology/core_id", fmt::format("{}\n", physical));
}

// Two packages with a node each, of two cores of two hardware threads: numbered as most machines do, threads last and
// packages in turn.
TEST(Cores, NeighboursAreNear) {
  const TemporaryFolder system;
  for (int core = 0; core < 8; ++core) add_core(system, core, core % 2, core % 2, core / 2 % 2);
  const std::vector<int> ordered = in_order_of_nearness(first(8), system.path());
  EXPECT_THAT(ordered, ElementsAre(0, 4, 2, 6, 1, 5, 3, 7));
  EXPECT_THAT(share_of_cores(ordered, 0, 2), ElementsAre(0, 4, 2, 6));
  EXPECT_THAT(share_of_cores(ordered, 1, 2), ElementsAre(1, 5, 3, 7));
  EXPECT_THAT(in_order_of_nearness({1, 2, 3, 6}, system.path()), ElementsAre(2, 6, 1, 3));
}

TEST(Cores, NodesComeBeforePackages) {
  const TemporaryFolder system;
  for (int core = 0; core < 4; ++core) add_core(system, core, core % 2, 0, core);
  EXPECT_THAT(in_order_of_nearness(first(4), system.path()), ElementsAre(0, 2, 1, 3));
}

TEST(Cores, KeepTheirNumbersWhereTheKernelTellsNothing) {
  const TemporaryFolder system;
  EXPECT_THAT(in_order_of_nearness({9, 10, 11, 2}, system.path()), ElementsAre(2, 9, 10, 11));
  EXPECT_THAT(in_order_of_nearness({9, 10, 11, 2}, system.path() / "nowhere"), ElementsAre(2, 9, 10, 11));
}

TEST(Cores, SharesAreEvenAndAllThereIs) {
  for (const int cores : {1, 2, 7, 64})
    for (int ranks = 1; ranks <= cores; ++ranks) {
      std::vector<int> joined;
      for (int rank = 0; rank < ranks; ++rank) {
        const std::vector<int> share = share_of_cores(first(cores), rank, ranks);
        EXPECT_GE(static_cast<int>(share.size()), cores / ranks);
        EXPECT_LE(static_cast<int>(share.size()), cores / ranks + 1);
        joined.insert(joined.end(), share.begin(), share.end());
      }
      EXPECT_THAT(joined, ElementsAreArray(first(cores)));
    }
}

}  // namespace
}  // namespace synthesizer
