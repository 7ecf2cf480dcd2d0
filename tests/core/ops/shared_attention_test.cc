// The alignment that all examples share, against a softmax an example with that example's own mask: what it stands for.
#include "core/ops/shared_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/graph/differentiate.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/softmax.h"
#include "tests/core/ops/op_runner.h"

namespace synthesizer {
namespace {

constexpr int64_t kB = 3, kH = 2, kL = 7, kE = 3;
const Shape kScores{kHeads(kH), kLength(kL), kMemoryLength(kL)};
const Shape kValuesShape{kBatch(kB), kMemoryLength(kL), kHeads(kH), kHead(kE)};
const Shape kOut{kBatch(kB), kLength(kL), kHeads(kH), kHead(kE)};
const Shape kMaskShape{kBatch(kB), kMemoryLength(kL)};

struct Attention {
  Tensor logits{kScores}, values{kValuesShape}, mask{kMaskShape}, weight{kOut};
  bool causal = false;
};

Attention random_attention(bool causal, double range) {
  Attention a;
  a.causal = causal;
  const auto fill = [](Tensor& t, uint64_t stream, double scale) {
    for (size_t e = 0; e < t.data.size(); ++e) t.data[e] = scale * (2 * random01(stream, e) - 1);
  };
  fill(a.logits, 1, range);
  fill(a.values, 2, 1);
  fill(a.weight, 3, 1);
  each(kMaskShape, [&](const Index& i) {  // example 0 sees all, the others a leading part, one not its first key either
    a.mask(i) = i.at("batch") == 0 || (i.at("memory_length") < 5 && (i.at("batch") == 1 || i.at("memory_length") > 0));
  });
  return a;
}

// Y of every example by its own softmax; 0 where it sees no key.
Tensor naive(const Attention& a) {
  return tabulate(kOut, [&](Index i) {
    const auto seen = [&](int64_t j) {
      return a.mask(with(i, "memory_length", j)) != 0 && (!a.causal || j <= i.at("length"));
    };
    double max = -std::numeric_limits<double>::infinity(), sum = 0, y = 0;
    for (int64_t j = 0; j < kL; ++j)
      if (seen(j)) max = std::max(max, a.logits(with(i, "memory_length", j)));
    for (int64_t j = 0; j < kL; ++j) {
      if (!seen(j)) continue;
      const double e = std::exp(a.logits(with(i, "memory_length", j)) - max);
      sum += e;
      y += e * a.values(with(i, "memory_length", j));
    }
    return sum == 0 ? 0 : y / sum;
  });
}

double naive_loss(const Attention& a) {
  const Tensor y = naive(a);
  double loss = 0;
  for (size_t e = 0; e < y.data.size(); ++e) loss += y.data[e] * a.weight.data[e];
  return loss;
}

struct Result {
  Tensor y, dlogits, dvalues;
};

Result run(const Attention& a, DType dtype) {
  Graph g;
  const Value logits = input(g, "logits", dtype, kScores), values = input(g, "values", dtype, kValuesShape);
  const Value mask = input(g, "mask", DType::kInt32, kMaskShape), weight = input(g, "weight", dtype, kOut);
  const Value weights = softmax(logits, kMemoryLength, {}, {}, a.causal ? kLength.name : "");
  const Value y = shared_attention(logits, weights, values, mask, a.causal);
  const Value loss = reduce_sum(y * weight, kOut.names());
  const std::vector<Value> wanted = {logits, values};
  const std::vector<Value> gradients = differentiate(loss, wanted, [](Value x, Value z) { return x + z; });
  mark_outputs(g, {{y, gradients[0], gradients[1]}});
  OpRunner runner(g);
  runner.set("logits", a.logits);
  runner.set("values", a.values);
  runner.set("mask", a.mask);
  runner.set("weight", a.weight);
  runner.run();
  return {runner.get("y0"), runner.get("y1"), runner.get("y2")};
}

Tensor numeric_gradient(Attention& a, Tensor& x) {
  Tensor gradient(x.shape);
  for (size_t e = 0; e < x.data.size(); ++e) {
    const double at = x.data[e], h = 1e-5;
    x.data[e] = at + h;
    const double above = naive_loss(a);
    x.data[e] = at - h;
    gradient.data[e] = (above - naive_loss(a)) / (2 * h);
    x.data[e] = at;
  }
  return gradient;
}

// (causal, range of the logits: at 600 the masked keys hold maxima beside which the others' weights are 0 in any dtype)
class SharedAttentionAgainstOwn : public ::testing::TestWithParam<std::tuple<bool, double>> {};

TEST_P(SharedAttentionAgainstOwn, ForwardAndGradient) {
  Attention a = random_attention(std::get<0>(GetParam()), std::get<1>(GetParam()));
  const Tensor y = naive(a), dlogits = numeric_gradient(a, a.logits), dvalues = numeric_gradient(a, a.values);
  const Result got = run(a, DType::kFloat64);
  EXPECT_EQ(difference(got.y, y, 1e-12), "");
  EXPECT_EQ(difference(got.dlogits, dlogits, 1e-7), "");
  EXPECT_EQ(difference(got.dvalues, dvalues, 1e-7), "");
  const Result rough = run(a, DType::kFloat32);
  const double tolerance = std::get<1>(GetParam()) > 10 ? 1e-4 : 1e-5;  // logits of 600 are rounded by 3e-5
  EXPECT_EQ(difference(rough.y, y, tolerance), "");
  EXPECT_EQ(difference(rough.dlogits, dlogits, tolerance), "");
  EXPECT_EQ(difference(rough.dvalues, dvalues, tolerance), "");
}

INSTANTIATE_TEST_SUITE_P(All, SharedAttentionAgainstOwn,
                         ::testing::Combine(::testing::Bool(), ::testing::Values(1.0, 20.0, 60.0, 600.0)));

}  // namespace
}  // namespace synthesizer
