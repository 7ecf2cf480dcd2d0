#include "core/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace synthesizer {
namespace {

using Indices = std::vector<int64_t>;

template <typename T>
std::vector<T> slice_of(const Initializer& initializer, const Indices& whole, const Indices& begins,
                        const Indices& sizes, uint64_t seed = 7, std::string_view name = "encoder/w") {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  std::vector<T> out(static_cast<size_t>(count));
  fill_initial(initializer, seed, name, whole, begins, sizes, out.data());
  return out;
}

std::vector<double> draw(const Initializer& initializer, int64_t count, uint64_t seed = 7,
                         std::string_view name = "encoder/w") {
  return slice_of<double>(initializer, {count}, {0}, {count}, seed, name);
}

struct Moments {
  double mean = 0, variance = 0, fourth = 0;  // central
};

Moments moments_of(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  Moments moments;
  for (const double value : values) moments.mean += value / n;
  for (const double value : values) {
    const double square = (value - moments.mean) * (value - moments.mean);
    moments.variance += square / n;
    moments.fourth += square * square / n;
  }
  return moments;
}

// The largest distance between the sample's distribution function and `cdf`, times the square root of the sample's
// size: Kolmogorov's statistic, above 2.7 once in a million samples. The bounds on moments below are five standard
// deviations wide too.
template <typename Cdf>
double kolmogorov(std::vector<double> values, Cdf cdf) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  double distance = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double f = cdf(values[i]), low = static_cast<double>(i) / n, high = static_cast<double>(i + 1) / n;
    distance = std::max({distance, std::abs(f - low), std::abs(f - high)});
  }
  return distance * std::sqrt(n);
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

constexpr int64_t kSample = 200001;

TEST(Initial, Uniform) {
  for (const uint64_t seed : {1, 2, 3}) {
    const std::vector<double> values = draw(Initializer::uniform(0.25), kSample, seed);
    EXPECT_LT(kolmogorov(values, [](double x) { return (x + 0.25) / 0.5; }), 2.7);
    const Moments moments = moments_of(values);
    EXPECT_NEAR(moments.mean, 0, 0.0016);
    EXPECT_NEAR(moments.variance, 0.25 * 0.25 / 3, 0.0002);
    EXPECT_GE(*std::min_element(values.begin(), values.end()), -0.25);
    EXPECT_LT(*std::max_element(values.begin(), values.end()), 0.25);
  }
}

TEST(Initial, Normal) {
  for (const uint64_t seed : {1, 2, 3}) {
    const std::vector<double> values = draw(Initializer::normal(3), kSample, seed);
    EXPECT_LT(kolmogorov(values, [](double x) { return normal_cdf(x / 3); }), 2.7);
    const Moments moments = moments_of(values);
    EXPECT_NEAR(moments.mean, 0, 0.034);
    EXPECT_NEAR(moments.variance, 9, 0.14);
    EXPECT_NEAR(moments.fourth / (moments.variance * moments.variance), 3, 0.055);
  }
}

TEST(Initial, TruncatedNormal) {
  const double inside = normal_cdf(2) - normal_cdf(-2);
  for (const uint64_t seed : {1, 2, 3}) {
    const std::vector<double> values = draw(Initializer::truncated_normal(0.5), kSample, seed);
    EXPECT_LT(kolmogorov(values, [&](double x) { return (normal_cdf(2 * x) - normal_cdf(-2)) / inside; }), 2.7);
    const Moments moments = moments_of(values);
    EXPECT_NEAR(moments.mean, 0, 0.005);
    EXPECT_NEAR(std::sqrt(moments.variance), 0.5 * 0.8796, 0.003);  // the deviation of a normal cut at two
    EXPECT_LE(*std::max_element(values.begin(), values.end()), 1.0);
    EXPECT_GE(*std::min_element(values.begin(), values.end()), -1.0);
  }
}

TEST(Initial, NeighboursAreIndependent) {
  for (const Initializer& initializer :
       {Initializer::uniform(std::sqrt(3.0)), Initializer::normal(1), Initializer::truncated_normal(1 / 0.8796)}) {
    const std::vector<double> values = draw(initializer, kSample);
    for (const size_t lag : {1u, 2u, 3u, 512u}) {
      double product = 0;
      for (size_t i = lag; i < values.size(); ++i) product += values[i] * values[i - lag];
      EXPECT_NEAR(product / static_cast<double>(values.size()), 0, 0.01) << lag;
    }
  }
}

TEST(Initial, Constant) { EXPECT_EQ(draw(Initializer::constant(1.5), 33), std::vector<double>(33, 1.5)); }

TEST(Initial, SeedAndNameDecide) {
  const Initializer normal = Initializer::normal(1);
  const std::vector<double> values = draw(normal, 511);
  EXPECT_EQ(draw(normal, 511), values);
  for (const std::vector<double>& others :
       {draw(normal, 511, 8), draw(normal, 511, 7 + (uint64_t{1} << 32)), draw(normal, 511, 7, "encoder/v")})
    for (size_t i = 0; i < others.size(); ++i) EXPECT_NE(others[i], values[i]);
}

TEST(Initial, AScalarIsElementZero) {
  EXPECT_EQ(slice_of<double>(Initializer::normal(1), {}, {}, {}), draw(Initializer::normal(1), 1));
}

// Odd sizes: slices begin and end inside the pairs that share random bits, and rows inside tasks.
template <typename T>
void check_slices(const Initializer& initializer) {
  const Indices whole = {5, 33, 511};
  const std::vector<T> values = slice_of<T>(initializer, whole, {0, 0, 0}, whole);
  const Indices begins[] = {{0, 0, 0}, {1, 0, 0}, {0, 31, 1}, {2, 3, 510}, {4, 7, 255}};
  const Indices sizes[] = {{1, 33, 511}, {4, 33, 511}, {5, 2, 510}, {3, 29, 1}, {1, 1, 33}};
  for (size_t k = 0; k < std::size(begins); ++k) {
    const std::vector<T> slice = slice_of<T>(initializer, whole, begins[k], sizes[k]);
    size_t next = 0;
    for (int64_t a = 0; a < sizes[k][0]; ++a)
      for (int64_t b = 0; b < sizes[k][1]; ++b)
        for (int64_t c = 0; c < sizes[k][2]; ++c) {
          const int64_t at = ((begins[k][0] + a) * 33 + begins[k][1] + b) * 511 + begins[k][2] + c;
          ASSERT_EQ(slice[next++], values[static_cast<size_t>(at)]) << k << ": " << a << ' ' << b << ' ' << c;
        }
  }
}

TEST(Initial, SlicesEqualTheWhole) {
  for (const Initializer& initializer :
       {Initializer::uniform(1), Initializer::normal(1), Initializer::truncated_normal(1)}) {
    check_slices<float>(initializer);
    check_slices<double>(initializer);
  }
}

// float32 and float64 runs start from the same weights, rounded once.
TEST(Initial, FloatsAreRoundedDoubles) {
  const std::vector<double> doubles = draw(Initializer::truncated_normal(0.1), 511);
  const std::vector<float> floats = slice_of<float>(Initializer::truncated_normal(0.1), {511}, {0}, {511});
  for (size_t i = 0; i < floats.size(); ++i) EXPECT_EQ(floats[i], static_cast<float>(doubles[i]));
}

// Far into a tensor of more than 2^32 elements.
TEST(Initial, LongTensors) {
  const Indices whole = {int64_t{1} << 40};
  const std::vector<double> far = slice_of<double>(Initializer::normal(1), whole, {(int64_t{1} << 33) + 1}, {31});
  const std::vector<double> near = slice_of<double>(Initializer::normal(1), whole, {1}, {31});
  for (size_t i = 0; i < far.size(); ++i) EXPECT_NE(far[i], near[i]);
}

TEST(Initial, SliceOutsideIsAnError) {
  const Initializer one = Initializer::constant(1);
  EXPECT_THROW(slice_of<float>(one, {4}, {2}, {3}), Error);
  EXPECT_THROW(slice_of<float>(one, {4}, {-1}, {2}), Error);
  EXPECT_THROW(slice_of<float>(one, {4, 2}, {0}, {2}), Error);
}

}  // namespace
}  // namespace synthesizer
