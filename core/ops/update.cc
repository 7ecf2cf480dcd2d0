#include "core/ops/update.h"

#include "core/base/error.h"
#include "core/ops/contract.h"

namespace synthesizer {

// ---- AdamW

AdamW::AdamW(AdamWOptions options, bool in_place, bool rounds)
    : options_(options), in_place_(in_place), rounds_(rounds) {
  CHECK(in_place || !rounds, "[adamw] a new parameter has no copy");
}

std::string AdamW::attributes() const {
  return fmt::format("beta {} {}, epsilon {}, weight decay {}{}{}", options_.beta1, options_.beta2, options_.epsilon,
                     options_.weight_decay, in_place_ ? "" : ", new parameter", rounds_ ? ", and its bf16 copy" : "");
}

std::vector<ValueType> AdamW::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, rounds_ ? 9 : 8);
  const ValueType& parameter = inputs[0];
  expect_floating(name(), "parameter", parameter);
  expect_type(name(), "first moment", inputs[1], parameter);
  expect_type(name(), "second moment", inputs[2], parameter);
  expect_type(name(), "gradient", inputs[3], parameter);
  expect_type(name(), "learning rate", inputs[4], {parameter.dtype, {}});
  expect_type(name(), "scale", inputs[5], {parameter.dtype, {}});
  expect_type(name(), "step", inputs[6], {DType::kInt64, {}});
  expect_type(name(), "apply", inputs[7], {parameter.dtype, {}});
  if (!rounds_) return {parameter, parameter, parameter};
  const ValueType copy{DType::kBFloat16, parameter.shape};
  expect_type(name(), "copy", inputs[8], copy);
  return {parameter, parameter, parameter, copy};
}

std::vector<PartitionRule> AdamW::partition(std::span<const ValueType> inputs,
                                            std::span<const ValueType> outputs) const {
  return independent_rules(inputs, outputs);
}

// An element: the gradient times scale; 3 for m, 4 for v; 2 corrections, root, ε, divide; decay, add, times lr,
// subtract. What is in the copy is not read.
Cost AdamW::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {17 * inputs[0].shape.elements(), total_bytes(inputs.first(8)) + total_bytes(outputs)};
}

std::vector<Alias> AdamW::aliases() const {
  if (!in_place_) return {{1, 1, Alias::Kind::kUpdate}, {2, 2, Alias::Kind::kUpdate}};
  std::vector<Alias> aliases;
  for (const int state : {0, 1, 2}) aliases.push_back({state, state, Alias::Kind::kUpdate});
  if (rounds_) aliases.push_back({3, 8, Alias::Kind::kUpdate});
  return aliases;
}

// ---- Assign

std::vector<ValueType> Assign::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 3);
  expect_floating(name(), "target", inputs[0]);
  expect_floating(name(), "value", inputs[1]);
  const bool rounds = inputs[0].dtype == DType::kBFloat16;
  expect_type(name(), "value", inputs[1], {rounds ? inputs[1].dtype : inputs[0].dtype, inputs[0].shape});
  expect_type(name(), "apply", inputs[2], {inputs[1].dtype, {}});
  return {inputs[0]};
}

std::vector<PartitionRule> Assign::partition(std::span<const ValueType> inputs,
                                             std::span<const ValueType> outputs) const {
  return independent_rules(inputs, outputs);
}

// What the target was is not read.
Cost Assign::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {0, total_bytes(inputs.subspan(1)) + total_bytes(outputs)};
}

// ---- Accumulate

std::vector<ValueType> Accumulate::infer(std::span<const ValueType> inputs) const {
  const size_t least = stores_ ? 2 : 1;
  if (inputs.size() < least) fail("[accumulate] got {} inputs, expected at least {}", inputs.size(), least);
  expect_floating(name(), "x", inputs[0]);
  for (const ValueType& input : inputs) expect_type(name(), "addend", input, inputs[0]);
  return {inputs[0]};
}

std::vector<PartitionRule> Accumulate::partition(std::span<const ValueType> inputs,
                                                 std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  rules.push_back({std::vector(inputs.size(), Placement::partial_sum()), {Placement::partial_sum()}});
  return rules;
}

Cost Accumulate::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  const auto addends = static_cast<int64_t>(inputs.size()) - (stores_ ? 2 : 1);
  return {addends * outputs[0].shape.elements(), total_bytes(inputs) + total_bytes(outputs)};
}

std::vector<Alias> Accumulate::aliases() const {
  return {{0, 0, stores_ ? Alias::Kind::kUpdate : Alias::Kind::kInPlace}};
}

// ---- builders

AdamWState adamw(Value parameter, Value first, Value second, Value gradient, Value learning_rate, Value scale,
                 Value step, Value apply, const AdamWOptions& options, bool in_place) {
  const auto outputs = parameter.graph().add(std::make_shared<AdamW>(options, in_place),
                                             {{parameter, first, second, gradient, learning_rate, scale, step, apply}});
  return {outputs[0], outputs[1], outputs[2]};
}

Value assign(Value target, Value value, Value apply) {
  return target.graph().add_one(std::make_shared<Assign>(), {{target, value, apply}});
}

Value accumulate(Value into, Value x, std::span<const Value> addends) {
  std::vector<Value> inputs = {x};
  if (into) inputs.insert(inputs.begin(), into);
  inputs.insert(inputs.end(), addends.begin(), addends.end());
  return x.graph().add_one(std::make_shared<Accumulate>(bool{into}), inputs);
}

}  // namespace synthesizer
