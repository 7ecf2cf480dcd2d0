#include <cmath>
#include <string>

#include "core/ops/update.h"
#include "core/tensor/bfloat16.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

OpInput scalar(const std::string& name, double value) { return {name, {}, value, value}; }

OpInput kept(const std::string& name, const Shape& shape, double low) {
  return {name, shape, low, 1, DType::kFloat64, {}, /*persistent=*/true};
}

OpCase adamw_row(const std::string& label, const Shape& shape, const AdamWOptions& options, double step, double apply,
                 bool all_rules = false) {
  OpCase c;
  c.op = "adamw";
  c.bfloat16 = false;
  c.label = label;
  c.inputs = {kept("parameter", shape, -1),
              kept("first", shape, -1),
              kept("second", shape, 0),
              {"gradient", shape, -4, 4},
              scalar("learning_rate", 0.125),
              scalar("scale", 0.375),
              {"step", {}, step, step, DType::kInt64},
              scalar("apply", apply)};
  c.build = [=](Graph& g, In in, DType) { return g.add(std::make_shared<AdamW>(options), in); };
  c.reference = [=](const auto& in) {
    std::vector<Tensor> out = {in[0], in[1], in[2]};
    if (in[7].data[0] == 0) return out;
    const double rate = in[4].data[0], scale = in[5].data[0], t = in[6].data[0] + 1;
    for (size_t e = 0; e < in[0].data.size(); ++e) {
      const double g = scale * in[3].data[e], p = in[0].data[e];
      const double m = options.beta1 * in[1].data[e] + (1 - options.beta1) * g;
      const double v = options.beta2 * in[2].data[e] + (1 - options.beta2) * g * g;
      const double mean = m / (1 - std::pow(options.beta1, t)), root = std::sqrt(v / (1 - std::pow(options.beta2, t)));
      out[0].data[e] = p - rate * (mean / (root + options.epsilon) + options.weight_decay * p);
      out[1].data[e] = m;
      out[2].data[e] = v;
    }
    return out;
  };
  c.has_gradient = false;
  c.tolerance32 = 1e-5;  // the first steps divide by 1 − β2ᵗ
  c.all_rules = all_rules;
  return c;
}

// What a bf16 tensor holds of them.
void round_all(Tensor& tensor) {
  for (double& value : tensor.data) value = to_float(to_bfloat16(static_cast<float>(value)));
}

OpInput kept_copy(const std::string& name, const Shape& shape) {
  return {name, shape, -1, 1, DType::kBFloat16, {}, /*persistent=*/true};
}

// With the parameter's copy. Before it is rounded the new parameter is not that of the reference to the last bit, so
// the copy may be its neighbour; to the bit tests/core/kernels/update_test.cc compares it.
OpCase adamw_copy_row(const std::string& label, const Shape& shape, double apply, bool all_rules = false) {
  const AdamWOptions options{0.9, 0.98, 1e-8, 0.01};
  OpCase c = adamw_row(label, shape, options, 3, apply, all_rules);
  c.inputs.push_back(kept_copy("copy", shape));
  c.adjust = [](std::vector<Tensor>& in) { round_all(in[8]); };
  c.build = [=](Graph& g, In in, DType) { return g.add(std::make_shared<AdamW>(options, true, true), in); };
  c.reference = [plain = c.reference](const auto& in) {
    std::vector<Tensor> out = plain(in);
    out.push_back(in[7].data[0] == 0 ? in[8] : out[0]);
    round_all(out[3]);
    return out;
  };
  c.tolerance32 = c.tolerance64 = 1.0 / 256;
  c.bytes = shape.elements() * (4 * 4 + 3 * 4 + 2) + 3 * 4 + 8;  // of the copy what is written
  return c;
}

OpCase assign_row(const std::string& label, const Shape& shape, double apply, bool all_rules = false) {
  OpCase c;
  c.op = "assign";
  c.bfloat16 = false;
  c.label = label;
  c.inputs = {kept("target", shape, -1), {"value", shape}, scalar("apply", apply)};
  c.build = [](Graph&, In in, DType) { return std::vector{assign(in[0], in[1], in[2])}; };
  c.reference = [](const auto& in) { return std::vector{in[2].data[0] == 0 ? in[0] : in[1]}; };
  c.has_gradient = false;
  c.bytes = 2 * 4 * shape.elements() + 4;  // of the target what is written
  c.all_rules = all_rules;
  return c;
}

OpCase rounded_assign_row(const std::string& label, const Shape& shape, double apply, bool all_rules = false) {
  OpCase c = assign_row(label, shape, apply, all_rules);
  c.inputs[0] = kept_copy("target", shape);
  c.adjust = [](std::vector<Tensor>& in) { round_all(in[0]); };
  c.reference = [](const auto& in) {
    Tensor target = in[in[2].data[0] == 0 ? 0 : 1];
    round_all(target);
    return std::vector{target};
  };
  c.bytes = (4 + 2) * shape.elements() + 4;
  return c;
}

// `stores`: into the first input, which is an addend too.
OpCase accumulate_row(const std::string& label, const Shape& shape, size_t addends, bool stores,
                      bool all_rules = false) {
  OpCase c;
  c.op = "accumulate";
  c.bfloat16 = false;
  c.label = label;
  if (stores) c.inputs = {kept("sum", shape, -1)};
  c.inputs.push_back({"x", shape});
  for (size_t i = 0; i < addends; ++i) c.inputs.push_back({"addend" + std::to_string(i), shape});
  c.build = [=](Graph&, In in, DType) {
    std::vector<Value> rest(in.begin() + 1, in.end());
    if (!stores) return std::vector{accumulate({}, in[0], rest)};
    rest.erase(rest.begin());
    return std::vector{accumulate(in[0], in[1], rest)};
  };
  c.reference = [=](const auto& in) {
    Tensor sum = in[stores ? 1 : 0];
    for (size_t i = stores ? 2 : 1; i < in.size(); ++i)
      for (size_t e = 0; e < sum.data.size(); ++e) sum.data[e] += in[i].data[e];
    return std::vector{sum};
  };
  c.has_gradient = false;
  c.flops = static_cast<int64_t>(addends) * shape.elements();
  c.all_rules = all_rules;
  return c;
}

}  // namespace

std::vector<OpCase> update_cases() {
  const Shape odd{kLength(31), kModel(33)}, even{kHeads(4), kModel(8)};
  return {
      adamw_row("first_step", odd, {}, 0, 1),
      adamw_row("decay", odd, {0.8, 0.95, 1e-6, 0.1}, 99, 1),
      adamw_row("late", odd, {}, 5000000000, 1),
      adamw_row("not_applied", odd, {}, 3, 0),
      adamw_row("scalar", {}, {}, 3, 1),
      adamw_row("even", even, {0.9, 0.98, 1e-8, 0.01}, 3, 1, true),
      adamw_copy_row("copy", {kLength(67), kModel(65)}, 1),
      adamw_copy_row("copy_not_applied", odd, 0),
      adamw_copy_row("copy_even", even, 1, true),
      assign_row("odd", odd, 1),
      assign_row("not_applied", odd, 0),
      assign_row("even", even, 1, true),
      rounded_assign_row("rounded", odd, 1),
      rounded_assign_row("rounded_not_applied", odd, 0),
      rounded_assign_row("rounded_even", even, 1, true),
      accumulate_row("alone", odd, 0, false),
      accumulate_row("pair", odd, 1, false),
      accumulate_row("three", {kLength(511), kModel(33)}, 3, false),
      accumulate_row("scalar", {}, 1, false),
      accumulate_row("kept_first", odd, 0, true),
      accumulate_row("kept", odd, 2, true),
      accumulate_row("even", even, 2, false, true),
      accumulate_row("kept_even", even, 2, true, true),
  };
}

}  // namespace synthesizer
