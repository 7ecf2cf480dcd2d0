// Functions of one element against the C library, their derivatives against central differences, broadcasting against
// an index at a time; the extreme values of the own exponential functions.
#include "core/ops/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/ops/cast.h"
#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

double value(UnaryFunction function, double x, double scale, double shift) {
  switch (function) {
    case UnaryFunction::kAffine:
      return scale * x + shift;
    case UnaryFunction::kRelu:
      return std::max(x, 0.0);
    case UnaryFunction::kExp:
      return std::exp(x);
    case UnaryFunction::kLog:
      return std::log(x);
    case UnaryFunction::kSqrt:
      return std::sqrt(x);
    case UnaryFunction::kRsqrt:
      return 1 / std::sqrt(x);
    case UnaryFunction::kSquare:
      return x * x;
    case UnaryFunction::kReciprocal:
      return 1 / x;
    case UnaryFunction::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case UnaryFunction::kTanh:
      return std::tanh(x);
    case UnaryFunction::kIsFinite:
      return std::isfinite(x) ? 1 : 0;
  }
  return 0;
}

constexpr UnaryFunction kAll[] = {UnaryFunction::kAffine, UnaryFunction::kRelu,       UnaryFunction::kExp,
                                  UnaryFunction::kLog,    UnaryFunction::kSqrt,       UnaryFunction::kRsqrt,
                                  UnaryFunction::kSquare, UnaryFunction::kReciprocal, UnaryFunction::kSigmoid,
                                  UnaryFunction::kTanh,   UnaryFunction::kIsFinite};

bool positive_only(UnaryFunction function) {
  return function == UnaryFunction::kLog || function == UnaryFunction::kSqrt || function == UnaryFunction::kRsqrt ||
         function == UnaryFunction::kReciprocal;
}

class UnaryTest : public testing::TestWithParam<UnaryFunction> {
 protected:
  Tensor arguments(int64_t n) const {
    return random_tensor(Shape{kModel(n)}, 3, positive_only(GetParam()) ? 0.25 : -4, 4);
  }
};

TEST_P(UnaryTest, IsTheFunction) {
  for (const int64_t n : {1, 31, 511, 40003}) {
    const Reference reference = [](const Tensors& in, Tensors& out) {
      for (int64_t i = 0; i < out[0].size(); ++i) out[0][i] = value(GetParam(), in[0][i], 1.5, -0.5);
    };
    check_kernel(Unary(GetParam(), 1.5, -0.5), {arguments(n)}, reference, {3e-7, 1e-15});
  }
}

TEST_P(UnaryTest, DerivativeIsThatOfCentralDifferences) {
  if (GetParam() == UnaryFunction::kAffine || GetParam() == UnaryFunction::kIsFinite) return;  // no gradient of its own
  for (const int64_t n : {1, 33, 20011}) {
    Tensor x = arguments(n);
    for (double& v : x.values) v = std::abs(v) < 1e-3 ? 0.5 : v;  // the kink of relu
    Tensor saved = x;
    if (UnaryGradient::uses_output(GetParam()))
      for (double& v : saved.values) v = value(GetParam(), v, 1, 0);
    const Reference reference = [&](const Tensors& in, Tensors& out) {
      for (int64_t i = 0; i < out[0].size(); ++i) {
        const double h = 1e-5;
        const double slope = (value(GetParam(), x[i] + h, 1, 0) - value(GetParam(), x[i] - h, 1, 0)) / (2 * h);
        out[0][i] = in[1][i] * slope;
      }
    };
    check_kernel(UnaryGradient(GetParam()), {saved, random_tensor(Shape{kModel(n)}, 4)}, reference, {2e-6, 1e-8});
  }
}

INSTANTIATE_TEST_SUITE_P(Functions, UnaryTest, testing::ValuesIn(kAll),
                         [](const auto& info) { return std::string(to_string(info.param)); });

double expected_binary(BinaryFunction function, double a, double b) {
  switch (function) {
    case BinaryFunction::kAdd:
      return a + b;
    case BinaryFunction::kSubtract:
      return a - b;
    case BinaryFunction::kMultiply:
      return a * b;
    case BinaryFunction::kDivide:
      return a / b;
    case BinaryFunction::kMaximum:
      return std::max(a, b);
    case BinaryFunction::kMinimum:
      return std::min(a, b);
  }
  return 0;
}

void check_binary(BinaryFunction function, const Shape& a, const Shape& b) {
  const Reference reference = [&](const Tensors& in, Tensors& out) {
    const Shape& y = out[0].type.shape;
    for_each_index(y.dims(), {a, b, y}, [&](const std::vector<int64_t>& at) {
      out[0][at[2]] = expected_binary(function, in[0][at[0]], in[1][at[1]]);
    });
  };
  check_kernel(Binary(function), {random_tensor(a, 5, 0.5, 2), random_tensor(b, 6, 0.5, 2)}, reference, {2e-7, 1e-15});
}

TEST(Binary, BroadcastsByName) {
  const Shape x{kBatch(3), kLength(33), kHeads(2), kHead(31)};
  const Shape others[] = {x,
                          Shape{},
                          Shape{kHead(31)},
                          Shape{kHeads(2), kHead(31)},
                          Shape{kBatch(3)},
                          Shape{kBatch(3), kLength(33)},
                          Shape{kBatch(3), kLength(33), kHeads(2)},
                          Shape{kLength(33), kHead(31)},
                          Shape{kHeads(2)},
                          Shape{kHead(31), kBatch(3)},
                          Shape{kHead(31), kHeads(2), kLength(33), kBatch(3)},
                          Shape{kModel(5)}};
  for (const Shape& other : others)
    for (const BinaryFunction function :
         {BinaryFunction::kAdd, BinaryFunction::kSubtract, BinaryFunction::kMultiply, BinaryFunction::kDivide,
          BinaryFunction::kMaximum, BinaryFunction::kMinimum}) {
      check_binary(function, x, other);
      check_binary(function, other, x);
    }
}

TEST(Binary, LongRowsAreCutInPieces) {
  check_binary(BinaryFunction::kAdd, Shape{kModel(100003)}, Shape{kModel(100003)});
  check_binary(BinaryFunction::kMultiply, Shape{kBatch(2), kModel(30001)}, Shape{kBatch(2)});
  check_binary(BinaryFunction::kSubtract, Shape{}, Shape{kModel(30001)});
}

TEST(Elementwise, ExtremesAndNaNSurvive) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  const Tensor x = integers(
      Shape{kModel(16)}, {0, -0.0, inf, -inf, nan, 88.7, 89.5, -87.5, -103, -110, 709, 711, -745, -800, 1e-30, -1e-30},
      DType::kFloat64);
  for (const UnaryFunction function : {UnaryFunction::kExp, UnaryFunction::kTanh, UnaryFunction::kSigmoid,
                                       UnaryFunction::kIsFinite, UnaryFunction::kSquare}) {
    for (int64_t i = 0; i < x.size(); ++i) {  // one at a time, so that each is judged by its own size
      const Tensor one = integers(Shape{kModel(1)}, {x[i]}, DType::kFloat64);
      const Reference reference = [&](const Tensors& in, Tensors& out) {
        const double y = value(function, in[0][0], 1, 0);
        out[0][0] = as_type({integers(Shape{}, {y}, DType::kFloat64)}, out[0].type.dtype)[0][0];
      };
      // The smallest numbers may as well be 0.
      const bool tiny = x[i] < -87 || (x[i] != 0 && std::abs(x[i]) < 1e-20);
      check_kernel(Unary(function), {one}, reference, {tiny ? 1 : 3e-7, tiny ? 1 : 1e-15});
    }
  }
  const Reference relu = [](const Tensors& in, Tensors& out) {
    for (int64_t i = 0; i < in[0].size(); ++i) out[0][i] = std::isnan(in[0][i]) ? in[0][i] : std::max(in[0][i], 0.0);
  };
  check_kernel(Unary(UnaryFunction::kRelu), {x}, relu);
}

TEST(Cast, KeepsTheNumbers) {
  for (const int64_t n : {1, 31, 40003}) {
    Tensor x = integers(Shape{kModel(n)}, {});
    for (int64_t i = 0; i < n; ++i) x.values.push_back(static_cast<double>(i % 7 - 3));
    for (const DType to : {DType::kFloat32, DType::kFloat64})
      for (const int threads : {1, 2, 3}) {
        const Tensors y = run_kernel(*make_test_kernels(threads), Cast(to), {x});
        EXPECT_EQ(y[0].type.dtype, to);
        EXPECT_EQ(y[0].values, x.values);
      }
  }
  EXPECT_THROW(run_kernel(*make_test_kernels(1), Cast(DType::kInt32), {integers(Shape{}, {1})}), Error);
  EXPECT_THROW(run_kernel(*make_test_kernels(1), Cast(DType::kFloat32), {scalar(1, DType::kInt64)}), Error);
}

TEST(Elementwise, ExponentialIsWithinTwoUnits) {
  Tensor x = random_tensor(Shape{kModel(200001)}, 7, -87, 88);
  const Tensors given = as_type({x}, DType::kFloat32);
  const Tensors y = run_kernel(*make_test_kernels(1), Unary(UnaryFunction::kExp), given);
  double worst = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(given[0][i]);
    const double unit = static_cast<double>(std::nextafterf(static_cast<float>(expected), INFINITY)) -
                        static_cast<double>(static_cast<float>(expected));
    worst = std::max(worst, std::abs(y[0][i] - expected) / unit);
  }
  EXPECT_LT(worst, 2.0);
}

}  // namespace
}  // namespace synthesizer
