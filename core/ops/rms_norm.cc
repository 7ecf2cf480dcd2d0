#include "core/ops/rms_norm.h"

#include "core/base/error.h"
#include "core/ops/contract.h"

namespace synthesizer {
namespace {

void expect_scaled(std::string_view op, const std::string& dim, std::span<const ValueType> x_and_scale) {
  const ValueType& x = x_and_scale[0];
  expect_floating(op, "input", x);
  if (x.shape.rank() == 0 || x.shape.dims().back().name != dim)
    fail("[{}] input: got {}, expected {} last", op, describe(x), dim);
  expect_type(op, "scale", x_and_scale[1], {compute_type(x.dtype), Shape{{dim, x.shape.size(dim)}}});
}

}  // namespace

// ---- RmsNorm

std::string RmsNorm::attributes() const {
  return fmt::format("{}, epsilon {}{}", dim_, epsilon_, residual_ ? ", of a sum" : "");
}

std::vector<ValueType> RmsNorm::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, residual_ ? 3 : 2);
  expect_scaled(name(), dim_, inputs);
  std::vector<ValueType> outputs = {inputs[0], {compute_type(inputs[0].dtype), inputs[0].shape.without(dim_)}};
  if (residual_) {
    expect_type(name(), "residual", inputs[2], inputs[0]);
    outputs.push_back(inputs[0]);
  }
  return outputs;
}

std::vector<Value> RmsNorm::gradient(const GradientContext& context) const {
  if (residual_) return Op::gradient(context);
  std::vector<Value> gradients(2);
  CHECK(!context.output_gradients[1], "[rms_norm {}] a gradient reaches r, which only the gradient reads",
        context.name);
  const Value dy = context.output_gradients[0];
  if (!dy || (!context.needed[0] && !context.needed[1])) return gradients;
  const auto results = dy.graph().add(std::make_shared<RmsNormGradient>(dim_),
                                      {{context.inputs[0], context.inputs[1], context.outputs[1], dy}});
  for (size_t i = 0; i < 2; ++i)
    if (context.needed[i]) gradients[i] = results[i];
  return gradients;
}

std::vector<PartitionRule> RmsNorm::partition(std::span<const ValueType> inputs,
                                              std::span<const ValueType> outputs) const {
  return independent_rules(inputs, outputs, {dim_});
}

// An element: the square and its sum, times r, times scale; the sum with the residual.
Cost RmsNorm::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {(residual_ ? 5 : 4) * inputs[0].shape.elements(), total_bytes(inputs) + total_bytes(outputs)};
}

std::vector<Alias> RmsNorm::aliases() const {
  if (!residual_) return {};
  return {{2, 0, Alias::Kind::kInPlace}, {2, 2, Alias::Kind::kInPlace}};
}

// ---- RmsNormGradient

std::vector<ValueType> RmsNormGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, base_ ? 5 : 4);
  expect_scaled(name(), dim_, inputs);
  expect_type(name(), "r", inputs[2], {compute_type(inputs[0].dtype), inputs[0].shape.without(dim_)});
  expect_type(name(), "dy", inputs[3], inputs[0]);
  if (base_) expect_type(name(), "base", inputs[4], inputs[0]);
  return {inputs[0], inputs[1]};
}

std::vector<PartitionRule> RmsNormGradient::partition(std::span<const ValueType> inputs,
                                                      std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, {dim_});
  for (PartitionRule& rule : rules)  // dscale is a sum over the rows
    if (rule.inputs[0].kind == Placement::Kind::kSplit) rule.outputs[1] = Placement::partial_sum();
  // Linear in dy, but no rule takes a partial one: dx is as large as dy, and both outputs would have to be reduced.
  return rules;
}

// An element: dy⊙scale, its product with x and the sum; x times r² and the mean, subtract, times r; x r dy and its sum;
// the sum with the base.
Cost RmsNormGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {(base_ ? 10 : 9) * inputs[0].shape.elements(), total_bytes(inputs) + total_bytes(outputs)};
}

std::vector<Alias> RmsNormGradient::aliases() const {
  if (!base_) return {{0, 3, Alias::Kind::kInPlace}};
  return {{0, 3, Alias::Kind::kInPlace}, {0, 4, Alias::Kind::kInPlace}};
}

Value rms_norm(Value x, Value scale, const std::string& dim, double epsilon) {
  return x.graph().add(std::make_shared<RmsNorm>(dim, epsilon), {{x, scale}})[0];
}

}  // namespace synthesizer
