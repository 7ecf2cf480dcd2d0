#include "data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace synthesizer {
namespace {

std::vector<int64_t> order(int64_t size, uint64_t seed, int64_t epoch) {
  const EpochPermutation permutation(size, seed, epoch);
  std::vector<int64_t> result(static_cast<size_t>(size));
  for (int64_t n = 0; n < size; ++n) result[static_cast<size_t>(n)] = permutation(n);
  return result;
}

TEST(EpochPermutation, IsAPermutationOfEverySize) {
  for (const int64_t size : {1, 2, 3, 4, 5, 15, 16, 17, 31, 64, 65, 511, 1000, 4097, 100'003}) {
    std::vector<int64_t> result = order(size, 9, 0);
    std::sort(result.begin(), result.end());
    for (int64_t n = 0; n < size; ++n) ASSERT_EQ(result[static_cast<size_t>(n)], n) << size;
  }
}

TEST(EpochPermutation, DependsOnSeedAndEpoch) {
  const auto base = order(1000, 1, 0);
  EXPECT_EQ(order(1000, 1, 0), base);
  EXPECT_NE(order(1000, 2, 0), base);
  EXPECT_NE(order(1000, 1, 1), base);
  EXPECT_NE(order(1000, 1, int64_t{1} << 32), base);
}

// As far as counting tells: no place is preferred, neighbours do not stay neighbours.
TEST(EpochPermutation, Mixes) {
  constexpr int64_t kSize = 10'000;
  const auto result = order(kSize, 5, 0);
  double correlation = 0;
  int64_t neighbours = 0;
  const double mean = (kSize - 1) / 2.0;
  for (size_t n = 0; n < result.size(); ++n) {
    correlation += (static_cast<double>(n) - mean) * (static_cast<double>(result[n]) - mean);
    if (n > 0 && std::abs(result[n] - result[n - 1]) == 1) ++neighbours;
  }
  correlation /= kSize * (static_cast<double>(kSize) * kSize - 1) / 12;
  EXPECT_LT(std::abs(correlation), 0.04);  // four standard deviations
  EXPECT_LT(neighbours, 12);               // 2 are expected
  // Where example 0 lands, over many seeds, by quarters of the range.
  int64_t quarters[4] = {};
  for (uint64_t seed = 0; seed < 4000; ++seed) ++quarters[EpochPermutation(100, seed, 0)(0) / 25];
  for (const int64_t count : quarters) EXPECT_NEAR(static_cast<double>(count), 1000, 110);
}

TEST(EpochPermutation, ReachesAnyExampleOfHugeEpochs) {
  constexpr int64_t kSize = int64_t{3} << 40;
  const EpochPermutation permutation(kSize, 1, 0);
  for (const int64_t n : {int64_t{0}, int64_t{1'000'000'000}, kSize - 1}) {
    EXPECT_GE(permutation(n), 0);
    EXPECT_LT(permutation(n), kSize);
  }
}

TEST(AdvancePosition, GoesOverEpochs) {
  EXPECT_EQ(advance_position({0, 0}, 0, 10), (ExamplePosition{0, 0}));
  EXPECT_EQ(advance_position({0, 8}, 4, 10), (ExamplePosition{1, 2}));
  EXPECT_EQ(advance_position({2, 1'000'000'000}, 0, 7), (ExamplePosition{2 + 142'857'142, 6}));
}

}  // namespace
}  // namespace synthesizer
