// Softmax with every combination of what attention adds to it, and its gradient.
#include "core/ops/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

Tensor mask_of(int64_t batch, int64_t keys) {
  Tensor mask = integers(Shape{kBatch(batch), kMemoryLength(keys)}, {});
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t j = 0; j < keys; ++j) mask.values.push_back(b == 1 ? j % 3 != 0 : b == 2 ? 0 : 1);
  return mask;
}

// One row at a time, by index.
void softmax_reference(const SoftmaxOptions& o, const Tensors& in, Tensors& out) {
  const Shape& x = in[0].type.shape;
  const Shape none;
  const Shape& addend = o.addend ? in[1].type.shape : none;
  const Tensor* mask = o.key_mask ? &in[o.addend ? 2 : 1] : nullptr;
  std::vector<Dim> rows;
  for (const Dim& dim : x.dims())
    if (dim.name != o.over) rows.push_back(dim);
  const int64_t n = x.size(o.over), stride = x.strides()[x.index(o.over)];
  const int64_t addend_stride = addend.has(o.over) ? addend.strides()[addend.index(o.over)] : 0;
  const Shape query = o.causal ? Shape{{o.query, x.size(o.query)}} : none;
  const Shape& masked = mask != nullptr ? mask->type.shape : none;
  for_each_index(rows, {x, addend, masked, query}, [&](const std::vector<int64_t>& at) {
    const auto live = [&](int64_t j) {
      return (!o.causal || j <= at[3]) && (mask == nullptr || (*mask)[at[2] + j] != 0);
    };
    const auto logit = [&](int64_t j) {
      return in[0][at[0] + j * stride] + (o.addend ? in[1][at[1] + j * addend_stride] : 0);
    };
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t j = 0; j < n; ++j)
      if (live(j)) largest = std::max(largest, logit(j));
    for (int64_t j = 0; j < n; ++j) sum += live(j) ? std::exp(logit(j) - largest) : 0;
    for (int64_t j = 0; j < n; ++j) out[0][at[0] + j * stride] = live(j) ? std::exp(logit(j) - largest) / sum : 0;
  });
}

void check_softmax(const SoftmaxOptions& options, const Tensors& inputs) {
  check_kernel(Softmax(options), inputs, [&](const Tensors& in, Tensors& out) { softmax_reference(options, in, out); },
               {3e-6, 1e-14});
}

// Of the softmax of these logits; `over` is their last dim.
void check_gradient(const SoftmaxOptions& options, const Tensor& logits, const Tensor& dy, const Tolerance& tolerance) {
  const Shape& shape = logits.type.shape;
  const int64_t n = shape.size(options.over);
  Tensors y{{{DType::kFloat64, shape}, std::vector<double>(static_cast<size_t>(shape.elements()))}};
  softmax_reference(options, {logits}, y);
  const Reference reference = [n](const Tensors& in, Tensors& out) {
    for (int64_t row = 0; row < in[0].size() / n; ++row) {
      double mean = 0;
      for (int64_t j = row * n; j < (row + 1) * n; ++j) mean += in[0][j] * in[1][j];
      for (int64_t j = row * n; j < (row + 1) * n; ++j) out[0][j] = in[0][j] * (in[1][j] - mean);
    }
  };
  check_kernel(SoftmaxGradient(options), {y[0], dy}, reference, tolerance);
}

TEST(Softmax, EveryCombination) {
  for (const int64_t keys : {1, 31, 33, 130}) {
    const Shape x{kBatch(3), kHeads(2), kLength(33), kMemoryLength(keys)};
    const Tensor logits = random_tensor(x, 11, -6, 6), mask = mask_of(3, keys);
    const Tensor addend = random_tensor(Shape{kHeads(2), kLength(33), kMemoryLength(keys)}, 12, -3, 3);
    for (int bits = 0; bits < 8; ++bits) {
      SoftmaxOptions options;
      options.over = kMemoryLength.name;
      options.causal = bits & 1;
      options.query = options.causal ? kLength.name : "";
      options.addend = bits & 2;
      options.key_mask = bits & 4;
      Tensors inputs{logits};
      if (options.addend) inputs.push_back(addend);
      if (options.key_mask) inputs.push_back(mask);
      check_softmax(options, inputs);
    }
  }
}

TEST(Softmax, OtherOrdersOfDims) {
  SoftmaxOptions options;
  options.over = kParts.name;
  check_softmax(options, {random_tensor(Shape{kBatch(2), kParts(5), kHeads(7)}, 13, -3, 3)});
  check_softmax(options, {random_tensor(Shape{kParts(3)}, 13, -3, 3)});
  options.addend = true;
  check_softmax(options, {random_tensor(Shape{kBatch(2), kParts(5), kHeads(7)}, 13, -3, 3),
                          random_tensor(Shape{kHeads(7), kParts(5)}, 14, -3, 3)});
  check_softmax(options, {random_tensor(Shape{kBatch(2), kHeads(7), kParts(5)}, 13, -3, 3),
                          random_tensor(Shape{kParts(5), kHeads(7)}, 14, -3, 3)});
  SoftmaxOptions dense;  // the alignment of Dense: [batch, length, heads, memory_length]
  dense.over = kMemoryLength.name;
  dense.query = kLength.name;
  dense.causal = dense.key_mask = true;
  check_softmax(dense, {random_tensor(Shape{kBatch(3), kLength(9), kHeads(2), kMemoryLength(9)}, 15), mask_of(3, 9)});
}

TEST(Softmax, MaskedKeysMayHoldAnything) {
  SoftmaxOptions options;
  options.over = kMemoryLength.name;
  options.key_mask = true;
  const double inf = std::numeric_limits<double>::infinity();
  const Tensors inputs{integers(Shape{kBatch(1), kMemoryLength(4)}, {1, std::nan(""), inf, 2}, DType::kFloat64),
                       integers(Shape{kBatch(1), kMemoryLength(4)}, {1, 0, 0, 1})};
  check_softmax(options, inputs);
  const Tensors y = run_kernel(*make_test_kernels(1), Softmax(options), inputs);
  EXPECT_EQ(y[0][1], 0);
  EXPECT_EQ(y[0][2], 0);
}

TEST(Softmax, LargeLogitsAndNaN) {
  SoftmaxOptions options;
  options.over = kMemoryLength.name;
  check_softmax(options, {integers(Shape{kMemoryLength(3)}, {1000, 999, -1000}, DType::kFloat64)});
  const Tensors y = run_kernel(*make_test_kernels(1), Softmax(options),
                               {integers(Shape{kMemoryLength(3)}, {1, std::nan(""), 2}, DType::kFloat64)});
  EXPECT_TRUE(std::isnan(y[0][0]));
}

TEST(Softmax, Gradient) {
  for (const int64_t keys : {1, 31, 129}) {
    for (const bool causal : {false, true}) {
      SoftmaxOptions options;
      options.over = kMemoryLength.name;
      options.causal = causal;
      options.query = causal ? kLength.name : "";
      const Shape x{kBatch(2), kHeads(3), kLength(33), kMemoryLength(keys)};
      check_gradient(options, random_tensor(x, 17, -4, 4), random_tensor(x, 18), {3e-6, 1e-14});
    }
  }
}

// Several at once, the last of them fewer than the others; a row longer than that.
TEST(Softmax, ShortRowsAndTheirGradient) {
  SoftmaxOptions options;
  options.over = kParts.name;
  for (const int64_t n : {1, 2, 9, 32, 33}) {
    const Shape shape{kBatch(3), kLength(5), kHeads(7), kParts(n)};
    const Tensor logits = random_tensor(shape, 21, -6, 6), dy = random_tensor(shape, 22);
    const Reference forward = [&](const Tensors& in, Tensors& out) { softmax_reference(options, in, out); };
    check_kernel(Softmax(options), {logits}, forward, {3e-6, 1e-14, true, 0.004});
    check_gradient(options, logits, dy, {3e-6, 1e-14, true, n == 1 ? 1.0 : 0.004});
  }
}

// More keys than a warp's registers or a vector's pieces hold, and lengths on either side of that.
TEST(Softmax, LongRowsAndTheirGradient) {
  for (const int64_t n : {256, 257, 520, 1000, 1024, 1025, 2052}) {
    for (const bool masked : {false, true}) {
      SoftmaxOptions options;
      options.over = kMemoryLength.name;
      options.key_mask = options.causal = options.addend = masked;
      options.query = masked ? kLength.name : "";
      const Shape shape{kBatch(3), kLength(2), kMemoryLength(n)};
      const Tensor logits = random_tensor(shape, 23, -6, 6), dy = random_tensor(shape, 24);
      Tensors inputs{logits};
      if (masked) inputs.push_back(random_tensor(Shape{kLength(2), kMemoryLength(n)}, 25, -3, 3));
      if (masked) inputs.push_back(mask_of(3, n));
      check_softmax(options, inputs);
      if (masked) continue;
      check_gradient(options, logits, dy, {3e-6, 1e-14});
    }
  }
}

TEST(Softmax, ARowOfNaNSpoilsNoOther) {
  SoftmaxOptions options;
  options.over = kParts.name;
  const double inf = std::numeric_limits<double>::infinity();
  const Tensors y = run_kernel(
      *make_test_kernels(1), Softmax(options),
      {integers(Shape{kLength(4), kParts(2)}, {1, 1, std::nan(""), 1, -inf, -inf, -inf, 2}, DType::kFloat64)});
  for (const int64_t i : {0, 1}) EXPECT_EQ(y[0][i], 0.5);
  for (const int64_t i : {2, 3, 4, 5}) EXPECT_TRUE(std::isnan(y[0][i])) << i;
  EXPECT_EQ(y[0][6], 0);
  EXPECT_EQ(y[0][7], 1);
}

TEST(Softmax, CountsRunsAndRows) {
  KernelCounters counters;
  SoftmaxOptions options;
  options.over = kMemoryLength.name;
  const std::unique_ptr<KernelTable> table = make_test_kernels(2, &counters);
  run_kernel(*table, Softmax(options), {random_tensor(Shape{kHeads(4), kLength(33), kMemoryLength(9)}, 1)});
  run_kernel(*table, Softmax(options), {random_tensor(Shape{kMemoryLength(9)}, 1)});
  EXPECT_EQ(counters.softmax_runs, 2);
  EXPECT_EQ(counters.softmax_rows, 4 * 33 + 1);
}

}  // namespace
}  // namespace synthesizer
