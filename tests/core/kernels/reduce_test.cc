// Reductions and broadcasts, row normalisation: against plain sums.
#include "core/ops/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/ops/rms_norm.h"
#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

void check_reduce(ReduceFunction function, const Shape& x, const DimNames& over) {
  const Reference reference = [&](const Tensors& in, Tensors& out) {
    if (function == ReduceFunction::kMax)
      for (double& v : out[0].values) v = -std::numeric_limits<double>::infinity();
    for_each_index(x.dims(), {x, out[0].type.shape}, [&](const std::vector<int64_t>& at) {
      const double v = in[0][at[0]];
      double& y = out[0][at[1]];
      y = function == ReduceFunction::kMax ? std::max(y, v) : y + (function == ReduceFunction::kSum ? v : v * v);
    });
  };
  // Values of one sign: the result is then as large as what was added up.
  check_kernel(Reduce(function, over), {random_tensor(x, 31, 0.1, 1)}, reference, {2e-7, 1e-13});
}

TEST(Reduce, OverAnyDims) {
  const Shape x{kBatch(3), kLength(33), kHeads(2), kHead(31)};
  const std::vector<std::string> names = x.names();
  for (int bits = 1; bits < 16; ++bits) {
    DimNames over;
    for (size_t i = 0; i < 4; ++i)
      if (bits >> i & 1) over.push_back(names[i]);
    for (const ReduceFunction function : {ReduceFunction::kSum, ReduceFunction::kMax, ReduceFunction::kSumSquares})
      check_reduce(function, x, over);
  }
}

TEST(Reduce, LongAndWide) {
  for (const ReduceFunction function : {ReduceFunction::kSum, ReduceFunction::kMax, ReduceFunction::kSumSquares}) {
    check_reduce(function, Shape{kModel(300007)}, {"model"});
    check_reduce(function, Shape{kLength(511), kModel(1025)}, {"length"});
    check_reduce(function, Shape{kLength(2), kModel(10007)}, {"model"});
    check_reduce(function, Shape{kLength(2), kModel(10007)}, {"length"});
    check_reduce(function, Shape{kModel(1)}, {"model"});
  }
}

TEST(Reduce, KeepsNaN) {
  for (const int64_t at : {0, 5, 99}) {
    Tensor x = random_tensor(Shape{kLength(10), kModel(10)}, 1);
    x[at] = std::nan("");
    for (const ReduceFunction function : {ReduceFunction::kSum, ReduceFunction::kMax, ReduceFunction::kSumSquares}) {
      EXPECT_TRUE(std::isnan(run_kernel(*make_test_kernels(2), Reduce(function, {"length", "model"}), {x})[0][0]));
      EXPECT_TRUE(std::isnan(run_kernel(*make_test_kernels(2), Reduce(function, {"length"}), {x})[0][at % 10]));
      EXPECT_TRUE(std::isnan(run_kernel(*make_test_kernels(2), Reduce(function, {"model"}), {x})[0][at / 10]));
    }
  }
}

TEST(Broadcast, CopiesAlongNewDims) {
  const Shape y{kBatch(3), kLength(33), kHead(31)};
  for (const Shape& x :
       {Shape{}, Shape{kHead(31)}, Shape{kLength(33)}, Shape{kBatch(3), kHead(31)}, y, Shape{kHead(31), kBatch(3)}}) {
    const Reference reference = [&](const Tensors& in, Tensors& out) {
      for_each_index(y.dims(), {x, y}, [&](const std::vector<int64_t>& at) { out[0][at[1]] = in[0][at[0]]; });
    };
    check_kernel(Broadcast(y), {random_tensor(x, 32)}, reference, {0, 0});
  }
  const Reference fill = [](const Tensors& in, Tensors& out) {
    for (double& v : out[0].values) v = in[0][0];
  };
  check_kernel(Broadcast(Shape{kModel(40009)}), {random_tensor(Shape{}, 33)}, fill, {0, 0});
}

constexpr double kEpsilon = 1e-6;

void rms_norm_reference(int64_t n, const Tensors& in, Tensors& out) {
  for (int64_t row = 0; row < out[1].size(); ++row) {
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) squares += in[0][row * n + i] * in[0][row * n + i];
    const double r = 1 / std::sqrt(squares / static_cast<double>(n) + kEpsilon);
    out[1][row] = r;
    for (int64_t i = 0; i < n; ++i) out[0][row * n + i] = in[0][row * n + i] * r * in[1][i];
  }
}

TEST(RmsNorm, ForwardAndGradient) {
  for (const int64_t n : {1, 31, 33, 64, 511, 1040, 2051, 13001}) {
    const int64_t rows = n < 1000 ? 37 : n < 10000 ? 7 : 1;
    for (const Shape& shape : {Shape{kModel(n)}, Shape{kBatch(3), kLength(rows), kModel(n)}}) {
      const Tensor x = random_tensor(shape, 34), scale = random_tensor(Shape{kModel(n)}, 35, 0.5, 1.5);
      const auto reference = [n](const Tensors& in, Tensors& out) { rms_norm_reference(n, in, out); };
      check_kernel(RmsNorm("model", kEpsilon), {x, scale}, reference, {1e-6, 1e-14});

      const Tensors y = run_kernel(*make_test_kernels(1), RmsNorm("model", kEpsilon), {x, scale});
      const Reference gradient = [n](const Tensors& in, Tensors& out) {  // x, scale, r, dy
        for (int64_t row = 0; row < in[2].size(); ++row) {
          const double r = in[2][row];
          double mean = 0;
          for (int64_t i = 0; i < n; ++i)
            mean += in[0][row * n + i] * in[3][row * n + i] * in[1][i] / static_cast<double>(n);
          for (int64_t i = 0; i < n; ++i) {
            const double xi = in[0][row * n + i], dy = in[3][row * n + i];
            out[0][row * n + i] = r * (dy * in[1][i] - xi * r * r * mean);
            out[1][i] += xi * r * dy;
          }
        }
      };
      // With one element x² r² is 1 but for epsilon: dx is what is left of a difference.
      check_kernel(RmsNormGradient("model"), {x, scale, y[1], random_tensor(shape, 36)}, gradient,
                   n == 1 ? Tolerance{1, 1e-6} : Tolerance{3e-6, 1e-13});
    }
  }
}

// The squares of a row may be more than float32 holds: a run that diverges is to find its NaN where it comes from.
TEST(RmsNorm, LargeValues) {
  constexpr int64_t n = 31;
  const Tensor x = random_tensor(Shape{kBatch(3), kModel(n)}, 34, -1e25, 1e25),
               scale = random_tensor(Shape{kModel(n)}, 35);
  const auto reference = [](const Tensors& in, Tensors& out) { rms_norm_reference(n, in, out); };
  check_kernel(RmsNorm("model", kEpsilon), {x, scale}, reference, {1e-6, 1e-14});
}

}  // namespace
}  // namespace synthesizer
