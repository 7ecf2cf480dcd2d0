// One alignment for a whole batch, against each example's own softmax; rows whose divisor underflows included.
#include "core/ops/shared_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/core/kernels/kernel_check.h"

namespace synthesizer {
namespace {

struct Sizes {
  int64_t batch, length, memory, heads, head;
};

Shape alignment(const Sizes& s) { return Shape{kHeads(s.heads), kLength(s.length), kMemoryLength(s.memory)}; }

// The softmax of S over all keys (those at or below the diagonal).
std::vector<double> weights(const Sizes& s, const Tensor& logits, bool causal) {
  std::vector<double> a(static_cast<size_t>(logits.size()));
  for (int64_t row = 0; row < s.heads * s.length; ++row) {
    const int64_t seen = causal ? std::min(s.memory, row % s.length + 1) : s.memory;
    double largest = -1e300, sum = 0;
    for (int64_t j = 0; j < seen; ++j) largest = std::max(largest, logits[row * s.memory + j]);
    for (int64_t j = 0; j < seen; ++j) sum += std::exp(logits[row * s.memory + j] - largest);
    for (int64_t j = 0; j < seen; ++j)
      a[static_cast<size_t>(row * s.memory + j)] = std::exp(logits[row * s.memory + j] - largest) / sum;
  }
  return a;
}

// Each example's own softmax over its live keys: exact whatever the masked keys hold.
double own_weights(const Sizes& s, const Tensor& logits, const Tensor& mask, bool causal, int64_t b, int64_t h,
                   int64_t i, std::vector<double>& w) {
  const int64_t seen = causal ? std::min(s.memory, i + 1) : s.memory;
  w.assign(static_cast<size_t>(s.memory), 0);
  double largest = -1e300, sum = 0;
  const int64_t row = (h * s.length + i) * s.memory;
  for (int64_t j = 0; j < seen; ++j)
    if (mask[b * s.memory + j] != 0) largest = std::max(largest, logits[row + j]);
  for (int64_t j = 0; j < seen; ++j)
    if (mask[b * s.memory + j] != 0) sum += w[static_cast<size_t>(j)] = std::exp(logits[row + j] - largest);
  if (sum > 0)
    for (double& v : w) v /= sum;
  return sum;
}

Tensors case_of(const Sizes& s, bool causal, bool underflow) {
  Tensor logits = random_tensor(alignment(s), 21, -3, 3);
  // Key 0 of every row, and key 2 of some, far above the others: where they are masked, D is e⁻²⁰⁰ or e⁻⁶⁰.
  if (underflow)
    for (int64_t row = 0; row < s.heads * s.length; ++row)
      logits[row * s.memory] += row % 3 == 0 ? 800 : row % 3 == 1 ? 60 : 0;
  Tensor mask = integers(Shape{kBatch(s.batch), kMemoryLength(s.memory)}, {});
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t j = 0; j < s.memory; ++j) mask.values.push_back(b == 0 ? 1 : b == 2 ? 0 : j % (b + 2) != 0);
  // Rounded, so that A belongs to S in both types.
  logits = as_type(as_type({logits}, DType::kFloat32), DType::kFloat64)[0];
  Tensor a{{DType::kFloat64, alignment(s)}, weights(s, logits, causal)};
  const Shape values{kBatch(s.batch), kMemoryLength(s.memory), kHeads(s.heads), kHead(s.head)};
  return {logits, a, random_tensor(values, 22), mask};
}

Reference forward(const Sizes& s, bool causal) {
  return [s, causal](const Tensors& in, Tensors& out) {
    std::vector<double> w;
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t h = 0; h < s.heads; ++h)
        for (int64_t i = 0; i < s.length; ++i) {
          own_weights(s, in[0], in[3], causal, b, h, i, w);
          const int64_t at = (b * s.length + i) * s.heads + h;
          for (int64_t j = 0; j < s.memory; ++j) {
            const double m = in[3][b * s.memory + j];
            out[1][at] += in[1][(h * s.length + i) * s.memory + j] * m;
            for (int64_t e = 0; e < s.head; ++e)
              out[0][at * s.head + e] +=
                  w[static_cast<size_t>(j)] * in[2][((b * s.memory + j) * s.heads + h) * s.head + e];
          }
        }
  };
}

Reference backward(const Sizes& s, bool causal) {
  return [s, causal](const Tensors& in, Tensors& out) {  // S, A, V, mask, Y, D, dY
    std::vector<double> w;
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t h = 0; h < s.heads; ++h)
        for (int64_t i = 0; i < s.length; ++i) {
          own_weights(s, in[0], in[3], causal, b, h, i, w);
          const int64_t at = ((b * s.length + i) * s.heads + h) * s.head;
          double mean = 0;
          for (int64_t e = 0; e < s.head; ++e) mean += in[6][at + e] * in[4][at + e];
          for (int64_t j = 0; j < s.memory; ++j) {
            const int64_t v = ((b * s.memory + j) * s.heads + h) * s.head;
            double dot = 0;
            for (int64_t e = 0; e < s.head; ++e) {
              dot += in[6][at + e] * in[2][v + e];
              out[1][v + e] += w[static_cast<size_t>(j)] * in[6][at + e];
            }
            out[0][(h * s.length + i) * s.memory + j] += w[static_cast<size_t>(j)] * (dot - mean);
          }
        }
  };
}

constexpr Sizes kSizes[] = {
    {1, 1, 1, 1, 1}, {3, 5, 7, 2, 3}, {4, 33, 31, 3, 17}, {5, 40, 40, 2, 16}, {1, 130, 140, 1, 1}};

TEST(SharedAttention, IsEachExamplesOwnSoftmax) {
  for (const Sizes& s : kSizes)
    for (const bool causal : {false, true})
      for (const bool underflow : {false, true})
        check_kernel(SharedAttention(causal), case_of(s, causal, underflow), forward(s, causal), {5e-6, 1e-13, false});
}

TEST(SharedAttention, GradientIsThatOfEachExamplesOwnSoftmax) {
  for (const Sizes& s : kSizes)
    for (const bool causal : {false, true})
      for (const bool underflow : {false, true}) {
        Tensors inputs = case_of(s, causal, underflow);
        Tensors outputs = run_kernel(*make_test_kernels(1), SharedAttention(causal), inputs);
        inputs.push_back(outputs[0]);
        inputs.push_back(outputs[1]);
        inputs.push_back(random_tensor(outputs[0].type.shape, 23));
        check_kernel(SharedAttentionGradient(causal), inputs, backward(s, causal), {1e-5, 1e-12, false});
      }
}

TEST(SharedAttention, MaskedValuesMayHoldAnything) {
  const Sizes s{2, 3, 4, 1, 2};
  Tensors inputs = case_of(s, false, false);
  const Tensors before = run_kernel(*make_test_kernels(1), SharedAttention(false), inputs);
  for (int64_t j = 0; j < s.memory; ++j)
    if (inputs[3][s.memory + j] == 0) inputs[2][(s.memory + j) * s.head] = std::numeric_limits<double>::infinity();
  EXPECT_EQ(run_kernel(*make_test_kernels(1), SharedAttention(false), inputs)[0].values, before[0].values);
}

}  // namespace
}  // namespace synthesizer
