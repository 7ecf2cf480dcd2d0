#include "core/tensor/fill.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/base/error.h"

namespace synthesizer {
namespace {

constexpr int64_t kWhole[] = {31, 33}, kBegins[] = {1, 2}, kSizes[] = {30, 31};

template <typename T>
std::vector<T> filled(const Initializer& initializer) {
  std::vector<T> out(30 * 31);
  fill_initial(initializer, 3, "w", kWhole, kBegins, kSizes, kDTypeOf<T>, out.data());
  return out;
}

TEST(Fill, FloatsAreTheTypedFill) {
  std::vector<float> floats(30 * 31);
  fill_initial(Initializer::normal(2), 3, "w", kWhole, kBegins, kSizes, floats.data());
  EXPECT_EQ(filled<float>(Initializer::normal(2)), floats);
  std::vector<double> doubles(30 * 31);
  fill_initial(Initializer::uniform(2), 3, "w", kWhole, kBegins, kSizes, doubles.data());
  EXPECT_EQ(filled<double>(Initializer::uniform(2)), doubles);
}

TEST(Fill, IntegersTakeConstantsThatTheyHold) {
  EXPECT_EQ(filled<int32_t>(Initializer::constant(-5)), std::vector<int32_t>(30 * 31, -5));
  EXPECT_EQ(filled<int64_t>(Initializer::constant(1ll << 40)), std::vector<int64_t>(30 * 31, 1ll << 40));
  EXPECT_THROW(filled<int32_t>(Initializer::constant(0.5)), Error);
  EXPECT_THROW(filled<int64_t>(Initializer::normal(1)), Error);
}

}  // namespace
}  // namespace synthesizer
