// Here the weights are an input of their own; the gradient by the logits, into which theirs is folded, is checked in
// shared_attention_test.cc.
#include <cmath>

#include "core/ops/shared_attention.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

struct Row {
  std::string label;
  int64_t batch, heads, length, keys, head;
  bool causal, all_rules = false;
};

Tensor softmax_of(const Tensor& logits, bool causal) {
  const auto e = [&](const Index& i) {
    return causal && i.at("memory_length") > i.at("length") ? 0 : std::exp(logits(i));
  };
  Tensor sum(logits.shape.without("memory_length"));
  each(logits.shape, [&](const Index& i) { sum(i) += e(i); });
  return tabulate(logits.shape, [&](const Index& i) { return static_cast<float>(e(i) / sum(i)); });
}

// Y and D of the weights as they are.
std::vector<Tensor> naive(const std::vector<Tensor>& in, const Row& r) {
  Tensor y({kBatch(r.batch), kLength(r.length), kHeads(r.heads), kHead(r.head)}), d(y.shape.without("head"));
  each(in[0].shape, [&](Index i) {
    for (i["batch"] = 0; i["batch"] < r.batch; ++i["batch"]) {
      d(i) += in[1](i) * in[3](i);
      for (i["head"] = 0; i["head"] < r.head; ++i["head"]) y(i) += in[1](i) * in[3](i) * in[2](i);
    }
  });
  each(y.shape, [&](const Index& i) { y(i) /= d(i); });
  return {y, d};
}

std::vector<OpInput> inputs_of(const Row& r) {
  const Shape scores{kHeads(r.heads), kLength(r.length), kMemoryLength(r.keys)};
  return {{"logits", scores, -2, 2, DType::kFloat64, {}, false, false},
          {"weights", scores, -2, 2, DType::kFloat64, {}, false, false},
          {"values", {kBatch(r.batch), kMemoryLength(r.keys), kHeads(r.heads), kHead(r.head)}},
          {"mask", {kBatch(r.batch), kMemoryLength(r.keys)}, 0, 1, DType::kInt32}};
}

void make_weights(std::vector<Tensor>& in, bool causal) {
  in[1] = softmax_of(in[0], causal);
  for (int64_t b = 0; b < in[3].shape.size("batch"); ++b)  // each example has its first key
    in[3](Index{{"batch", b}, {"memory_length", 0}}) = 1;
}

OpCase make_row(const Row& r) {
  OpCase c;
  c.op = "shared_attention";
  c.label = r.label;
  c.inputs = inputs_of(r);
  c.wide = {"logits", "weights", "divisor"};
  c.adjust = [r](std::vector<Tensor>& in) { make_weights(in, r.causal); };
  c.build = [=](Graph& g, In in, DType) { return g.add(std::make_shared<SharedAttention>(r.causal), in); };
  c.reference = [=](const auto& in) { return naive(in, r); };
  c.tolerance32 = 1e-5;
  c.all_rules = r.all_rules;
  return c;
}

OpCase make_gradient_row(const Row& r) {
  OpCase c;
  c.op = "shared_attention_gradient";
  c.label = r.label;
  c.inputs = inputs_of(r);
  c.wide = {"logits", "weights", "divisor"};
  const Shape y{kBatch(r.batch), kLength(r.length), kHeads(r.heads), kHead(r.head)};
  c.inputs.push_back({"y", y});
  c.inputs.push_back({"divisor", y.without("head")});
  c.inputs.push_back({"dy", y});
  c.adjust = [r](std::vector<Tensor>& in) {
    make_weights(in, r.causal);
    const std::vector<Tensor> forward = naive(in, r);
    for (size_t i = 0; i < 2; ++i)
      for (size_t e = 0; e < forward[i].data.size(); ++e) in[4 + i].data[e] = static_cast<float>(forward[i].data[e]);
  };
  c.build = [=](Graph& g, In in, DType) { return g.add(std::make_shared<SharedAttentionGradient>(r.causal), in); };
  c.reference = [=](const auto& in) {
    const Tensor &a = in[1], &v = in[2], &m = in[3], &out = in[4], &d = in[5], &dy = in[6];
    Tensor ds(a.shape), dv(v.shape);
    each(a.shape, [&](Index i) {
      for (i["batch"] = 0; i["batch"] < r.batch; ++i["batch"])
        for (i["head"] = 0; i["head"] < r.head; ++i["head"]) {
          ds(i) += a(i) * m(i) * dy(i) * (v(i) - out(i)) / d(i);
          dv(i) += m(i) * a(i) * dy(i) / d(i);
        }
    });
    return std::vector{ds, dv};
  };
  c.has_gradient = false;
  c.tolerance32 = 1e-5;
  c.all_rules = r.all_rules;
  return c;
}

}  // namespace

std::vector<OpCase> shared_attention_cases() {
  std::vector<OpCase> rows;
  for (const Row& r : std::vector<Row>{
           {"odd", 3, 5, 7, 31, 3, false},
           {"one", 1, 1, 1, 1, 1, false},
           {"long", 2, 1, 3, 511, 2, false},
           {"causal", 3, 2, 33, 33, 5, true},
           {"even", 4, 4, 5, 6, 3, false, true},
           {"even_causal", 4, 4, 7, 7, 3, true, true},
       }) {
    rows.push_back(make_row(r));
    rows.push_back(make_gradient_row(r));
  }
  return rows;
}

}  // namespace synthesizer
