// Softmax and root-mean-square normalisation.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/ops/rms_norm.h"
#include "core/ops/softmax.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

// One row of the softmax at a time: the largest logit of the keys that are seen, their sum, the quotients.
Tensor naive_softmax(Tensor x, const SoftmaxOptions& options, const Tensor* addend, const Tensor* mask,
                     const Tensor* segments = nullptr) {
  const std::string& over = options.over;
  if (addend != nullptr) each(x.shape, [&](const Index& i) { x(i) += (*addend)(i); });
  const auto seen = [&](const Index& i) {
    return !(options.causal && i.at(over) > i.at(options.query)) && !(mask != nullptr && (*mask)(i) == 0) &&
           !(segments != nullptr && (*mask)(i) != (*segments)(i));
  };
  Tensor y(x.shape);
  each(x.shape.without(over), [&](const Index& row) {
    double max = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t j = 0; j < x.shape.size(over); ++j)
      if (seen(with(row, over, j))) max = std::max(max, x(with(row, over, j)));
    for (int64_t j = 0; j < x.shape.size(over); ++j)
      if (seen(with(row, over, j))) sum += std::exp(x(with(row, over, j)) - max);
    for (int64_t j = 0; j < x.shape.size(over); ++j)
      if (seen(with(row, over, j))) y(with(row, over, j)) = std::exp(x(with(row, over, j)) - max) / sum;
  });
  return y;
}

struct SoftmaxRow {
  std::string label;
  Shape x;
  SoftmaxOptions options;
  Shape addend = {};
  bool all_rules = false;
};

OpCase softmax_row(const SoftmaxRow& r) {
  OpCase c;
  c.op = "softmax";
  c.label = r.label;
  c.inputs = {{"x", r.x, -4, 4}};
  if (r.options.addend) c.inputs.push_back({"addend", r.addend, -2, 2});
  c.wide = {"addend"};
  if (r.options.key_mask) {
    const double documents = r.options.segments ? 3 : 1;
    const Dim batch = kBatch(r.x.size("batch"));
    c.inputs.push_back({"mask", {batch, kMemoryLength(r.x.size("memory_length"))}, 0, documents, DType::kInt32});
    if (r.options.segments)
      c.inputs.push_back({"segments", {batch, kLength(r.x.size("length"))}, 0, documents, DType::kInt32});
    c.adjust = [at = 1u + r.options.addend](std::vector<Tensor>& in) {  // the last example has no key to see
      Tensor& mask = in[at];
      const int64_t last = mask.shape.size("batch") - 1;
      for (int64_t j = 0; j < mask.shape.size("memory_length"); ++j)
        mask(Index{{"batch", last}, {"memory_length", j}}) = 0;
    };
  }
  c.build = [o = r.options](Graph&, In in, DType) {
    return std::vector{softmax(in[0], o.over, o.addend ? in[1] : Value(), o.key_mask ? in[1u + o.addend] : Value(),
                               o.query, o.segments ? in.back() : Value())};
  };
  c.reference = [o = r.options](const auto& in) {
    return std::vector{naive_softmax(in[0], o, o.addend ? &in[1] : nullptr, o.key_mask ? &in[1u + o.addend] : nullptr,
                                     o.segments ? &in.back() : nullptr)};
  };
  c.all_rules = r.all_rules;
  return c;
}

OpCase softmax_gradient_row(const SoftmaxRow& r) {
  OpCase c;
  c.op = "softmax_gradient";
  c.label = r.label;
  c.inputs = {{"y", r.x, -4, 4}, {"dy", r.x}};
  SoftmaxOptions options = r.options;
  options.addend = options.key_mask = options.segments = false;
  c.adjust = [options](std::vector<Tensor>& in) {
    in[0] = naive_softmax(in[0], options, nullptr, nullptr);
    for (double& y : in[0].data) y = static_cast<float>(y);
  };
  c.build = [options](Graph& g, In in, DType) {
    return std::vector{g.add_one(std::make_shared<SoftmaxGradient>(options), in)};
  };
  c.reference = [options](const auto& in) {
    Tensor dx(in[0].shape), dot(in[0].shape.without(options.over));
    each(dx.shape, [&](const Index& i) { dot(i) += in[0](i) * in[1](i); });
    each(dx.shape, [&](const Index& i) { dx(i) = in[0](i) * (in[1](i) - dot(i)); });
    return std::vector{dx};
  };
  c.has_gradient = false;
  c.all_rules = r.all_rules;
  return c;
}

// x, scale and r of a norm over "model".
Tensor reciprocal_root(const Tensor& x, double epsilon) {
  Tensor r(x.shape.without("model"));
  each(x.shape, [&](const Index& i) { r(i) += x(i) * x(i); });
  for (double& v : r.data) v = 1 / std::sqrt(v / static_cast<double>(x.shape.size("model")) + epsilon);
  return r;
}

OpCase rms_norm_row(const std::string& label, const Shape& x, double epsilon, bool all_rules = false) {
  OpCase c;
  c.op = "rms_norm";
  c.label = label;
  c.inputs = {{"x", x, -2, 2}, {"scale", {kModel(x.size("model"))}, 0.5, 1.5}};
  c.wide = {"scale"};
  c.build = [=](Graph& g, In in, DType) { return g.add(std::make_shared<RmsNorm>("model", epsilon), in); };
  c.reference = [=](const auto& in) {
    const Tensor r = reciprocal_root(in[0], epsilon);
    return std::vector{tabulate(x, [&](const Index& i) { return in[0](i) * r(i) * in[1](i); }), r};
  };
  c.all_rules = all_rules;
  return c;
}

// The norm of x plus a residual.
OpCase residual_norm_row(const std::string& label, const Shape& x, bool all_rules = false) {
  OpCase c = rms_norm_row(label, x, 1e-6, all_rules);
  c.inputs.push_back({"residual", x, -2, 2});
  c.build = [=](Graph& g, In in, DType) { return g.add(std::make_shared<RmsNorm>("model", 1e-6, true), in); };
  c.reference = [norm = c.reference](const auto& in) {
    Tensor sum = in[0];
    for (size_t e = 0; e < sum.data.size(); ++e) sum.data[e] += in[2].data[e];
    std::vector<Tensor> out = norm({sum, in[1]});
    out.push_back(sum);
    return out;
  };
  c.has_gradient = false;
  return c;
}

OpCase rms_norm_gradient_row(const std::string& label, const Shape& x, bool all_rules = false) {
  OpCase c;
  c.op = "rms_norm_gradient";
  c.label = label;
  c.inputs = {
      {"x", x, -2, 2}, {"scale", {kModel(x.size("model"))}, 0.5, 1.5}, {"r", x.without("model"), 0.5, 1.5}, {"dy", x}};
  c.wide = {"scale", "r"};
  c.build = [](Graph& g, In in, DType) { return g.add(std::make_shared<RmsNormGradient>("model"), in); };
  c.reference = [=](const auto& in) {
    const Tensor &v = in[0], &scale = in[1], &r = in[2], &dy = in[3];
    Tensor mean(x.without("model")), dscale(scale.shape);
    const auto n = static_cast<double>(x.size("model"));
    each(x, [&](const Index& i) { mean(i) += v(i) * dy(i) * scale(i) / n; });
    each(x, [&](const Index& i) { dscale(i) += v(i) * r(i) * dy(i); });
    return std::vector{
        tabulate(x, [&](const Index& i) { return r(i) * (dy(i) * scale(i) - v(i) * r(i) * r(i) * mean(i)); }), dscale};
  };
  c.has_gradient = false;
  c.all_rules = all_rules;
  return c;
}

// The gradient added to another.
OpCase added_norm_gradient_row(const std::string& label, const Shape& x, bool all_rules = false) {
  OpCase c = rms_norm_gradient_row(label, x, all_rules);
  c.inputs.push_back({"base", x});
  c.build = [](Graph& g, In in, DType) { return g.add(std::make_shared<RmsNormGradient>("model", true), in); };
  c.reference = [gradient = c.reference](const auto& in) {
    std::vector<Tensor> out = gradient(in);
    for (size_t e = 0; e < out[0].data.size(); ++e) out[0].data[e] += in[4].data[e];
    return out;
  };
  return c;
}

}  // namespace

std::vector<OpCase> normal_cases() {
  const Shape scores{kBatch(3), kHeads(5), kLength(7), kMemoryLength(31)};
  const Shape shared{kHeads(5), kLength(7), kMemoryLength(31)};
  const Shape square{kBatch(2), kHeads(1), kLength(33), kMemoryLength(33)};
  const Shape even{kBatch(4), kHeads(4), kLength(8), kMemoryLength(8)};
  const std::string keys = "memory_length";
  const SoftmaxOptions plain{keys}, causal{keys, "length", true}, all{keys, "length", true, true, true};
  const SoftmaxOptions documents{keys, "", false, false, true, true}, packed{keys, "length", true, true, true, true};
  std::vector<OpCase> rows;
  for (const SoftmaxRow& r : std::vector<SoftmaxRow>{
           {"plain", scores, plain},
           {"long", {kLength(3), kMemoryLength(511)}, plain},
           {"one_key", {kLength(5), kMemoryLength(1)}, plain},
           {"vector", {kMemoryLength(3)}, plain},
           {"over_first", {kMemoryLength(3), kHeads(31)}, plain},
           {"over_middle", {kHeads(5), kMemoryLength(31), kLength(7)}, plain},
           {"causal", square, causal},
           {"causal_wide", scores, causal},
           {"addend", scores, {keys, "", false, true, false}, shared},
           {"addend_heads", scores, {keys, "", false, true, false}, {kHeads(5)}},
           {"mask", scores, {keys, "", false, false, true}},
           {"all", scores, all, shared},
           {"documents", scores, documents},
           {"packed", square, packed, {kHeads(1), kLength(33), kMemoryLength(33)}},
           {"even_packed", even, packed, {kHeads(4), kLength(8), kMemoryLength(8)}, true},
           {"even", even, {keys, "", false, true, true}, {kHeads(4), kLength(8), kMemoryLength(8)}, true},
           {"even_causal", even, all, {kHeads(4), kLength(8), kMemoryLength(8)}, true},
       }) {
    rows.push_back(softmax_row(r));
    if (!r.options.addend && !r.options.key_mask) rows.push_back(softmax_gradient_row(r));
  }
  rows.push_back(softmax_gradient_row({"even", even, plain, {}, true}));
  rows.push_back(softmax_gradient_row({"even_causal", even, causal, {}, true}));
  for (const auto& [label, shape] : std::vector<std::pair<std::string, Shape>>{
           {"odd", {kBatch(3), kLength(5), kModel(33)}}, {"long", {kLength(3), kModel(511)}}, {"one", {kModel(31)}}}) {
    rows.push_back(rms_norm_row(label, shape, 1e-6));
    rows.push_back(rms_norm_gradient_row(label, shape));
    rows.push_back(residual_norm_row("residual_" + label, shape));
    rows.push_back(added_norm_gradient_row("added_" + label, shape));
  }
  rows.push_back(rms_norm_row("large_epsilon", {kLength(3), kModel(1)}, 0.5));
  rows.push_back(rms_norm_row("even", {kBatch(4), kLength(8), kModel(31)}, 1e-6, true));
  rows.push_back(rms_norm_gradient_row("even", {kBatch(4), kLength(8), kModel(31)}, true));
  rows.push_back(residual_norm_row("residual_even", {kBatch(4), kLength(8), kModel(31)}, true));
  rows.push_back(added_norm_gradient_row("added_even", {kBatch(4), kLength(8), kModel(31)}, true));
  return rows;
}

}  // namespace synthesizer
