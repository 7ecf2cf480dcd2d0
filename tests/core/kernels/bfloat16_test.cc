// Rounding to bfloat16: to nearest, ties to even, special values kept.
#include "core/tensor/bfloat16.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/kernels/cpu/loops/loops.h"

namespace synthesizer {
namespace {

float rounded(float x) { return to_float(to_bfloat16(x)); }

TEST(BFloat16, RoundsToNearest) {
  EXPECT_EQ(rounded(1.0f), 1.0f);
  EXPECT_EQ(rounded(-0.0f), 0.0f);
  EXPECT_TRUE(std::signbit(rounded(-0.0f)));
  const float step = 1.0f / 128;  // between neighbours from 1 to 2
  EXPECT_EQ(rounded(1 + 0.49f * step), 1.0f);
  EXPECT_EQ(rounded(1 + 0.51f * step), 1 + step);
  EXPECT_EQ(rounded(1 + 0.5f * step), 1.0f);          // a tie: to the even one below
  EXPECT_EQ(rounded(1 + 1.5f * step), 1 + 2 * step);  // and above
  EXPECT_EQ(rounded(-(1 + 1.5f * step)), -(1 + 2 * step));
}

TEST(BFloat16, KeepsSpecialValues) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(rounded(infinity), infinity);
  EXPECT_EQ(rounded(-infinity), -infinity);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), infinity);
  EXPECT_TRUE(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
  // Its set bits are all in the half that is cut off.
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7F800001u))));
  const float denormal = std::bit_cast<float>(0x00010000u);
  EXPECT_EQ(rounded(denormal), denormal);
}

// The kernels' loops have conversions of their own, for each instruction set.
TEST(BFloat16, LoopsRoundAlike) {
  std::vector<float> values;
  for (uint32_t bits = 0; bits < 0xFFFF0000u; bits += 0x00FEDCB9u / 3) values.push_back(std::bit_cast<float>(bits));
  for (const uint32_t bits : {0x7F800000u, 0xFF800000u, 0x7F800001u, 0x3F808000u, 0x3F818000u, 0x7F7FFFFFu})
    values.push_back(std::bit_cast<float>(bits));
  const auto n = static_cast<int64_t>(values.size());
  for (const Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
    if (isa > best_isa()) break;
    const LoopTables loops = make_loops(isa);
    std::vector<BFloat16> stored(values.size());
    std::vector<float> loaded(values.size());
    loops.bf16.store(values.data(), stored.data(), n);
    loops.bf16.load(stored.data(), loaded.data(), n);
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(stored[i].bits, to_bfloat16(values[i]).bits) << values[i];
      EXPECT_EQ(std::bit_cast<uint32_t>(loaded[i]), std::bit_cast<uint32_t>(to_float(stored[i])));
    }
  }
}

}  // namespace
}  // namespace synthesizer
