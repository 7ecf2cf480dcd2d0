#include "core/ops/take.h"

#include "core/base/error.h"
#include "core/ops/contract.h"

namespace synthesizer {
namespace {

void expect_positions(std::string_view op, const ValueType& positions, const ValueType& x) {
  if (positions.dtype != DType::kInt32 || positions.shape.rank() != 2)
    fail("[{}] positions: got {}, expected i32 [batch, length]", op, describe(positions));
  const Shape& shape = x.shape;
  const std::string& batch = positions.shape.dims()[0].name;
  if (shape.has(batch) && shape.dims()[0] != positions.shape.dims()[0])
    fail("[{}] got {} with positions {}, expected {} in front and alike", op, describe(x), describe(positions), batch);
}

}  // namespace

// ---- Take

std::vector<ValueType> Take::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 2);
  expect_floating(name(), "input", inputs[0]);
  expect_dim(name(), "input", inputs[0], dim_);
  expect_positions(name(), inputs[1], inputs[0]);
  const Dim &batch = inputs[1].shape.dims()[0], &to = inputs[1].shape.dims()[1];
  std::vector<Dim> dims = inputs[0].shape.dims();
  dims[inputs[0].shape.index(dim_)] = to;
  if (!inputs[0].shape.has(batch.name)) dims.insert(dims.begin(), batch);
  return {{inputs[0].dtype, Shape(std::move(dims))}};
}

std::vector<Value> Take::gradient(const GradientContext& context) const {
  if (!context.needed[0]) return {Value(), Value()};
  const Shape& x = context.inputs[0].shape();
  const bool each_example = x.has(context.inputs[1].shape().dims()[0].name);
  const Value dy = context.output_gradients[0];
  const auto op = std::make_shared<TakeGradient>(x.dims()[x.index(dim_)], each_example);
  return {dy.graph().add_one(op, {{context.inputs[1], dy}}), Value()};
}

std::vector<PartitionRule> Take::partition(std::span<const ValueType> inputs,
                                           std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, {dim_, inputs[1].shape.dims()[1].name});
  rules.push_back(partial_rule(Placement::partial_sum(), 2, {0}, 1, {0}));
  return rules;
}

// ---- TakeGradient

std::string TakeGradient::attributes() const {
  return fmt::format("{} {}{}", dim_.name, dim_.size, each_example_ ? ", each example" : "");
}

std::vector<ValueType> TakeGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 2);
  expect_floating(name(), "dy", inputs[1]);
  expect_positions(name(), inputs[0], inputs[1]);
  const std::string &batch = inputs[0].shape.dims()[0].name, &from = inputs[0].shape.dims()[1].name;
  expect_dim(name(), "dy", inputs[1], batch);
  expect_dim(name(), "dy", inputs[1], from);
  std::vector<Dim> dims = inputs[1].shape.dims();
  dims[inputs[1].shape.index(from)] = dim_;
  if (!each_example_) dims.erase(dims.begin());
  return {{inputs[1].dtype, Shape(std::move(dims))}};
}

std::vector<PartitionRule> TakeGradient::partition(std::span<const ValueType> inputs,
                                                   std::span<const ValueType> outputs) const {
  const std::string &batch = inputs[0].shape.dims()[0].name, &from = inputs[0].shape.dims()[1].name;
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, {dim_.name, from});
  if (!each_example_)
    for (PartitionRule& rule : rules)  // each rank adds its own examples
      if (rule.inputs[0] == Placement::split(batch)) rule.outputs[0] = Placement::partial_sum();
  rules.push_back(partial_rule(Placement::partial_sum(), 2, {1}, 1, {0}));
  return rules;
}

// Each element is added once.
Cost TakeGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {inputs[1].shape.elements(), total_bytes(inputs) + total_bytes(outputs)};
}

Value take(Value x, const std::string& dim, Value positions) {
  return x.graph().add_one(std::make_shared<Take>(dim), {{x, positions}});
}

}  // namespace synthesizer
