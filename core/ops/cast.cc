#include "core/ops/cast.h"

#include "core/base/error.h"
#include "core/ops/contract.h"

namespace synthesizer {

std::vector<ValueType> Cast::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  if (inputs[0].dtype == DType::kInt64)
    fail("[cast] input: got {}, expected i32, f32, f64 or bf16", describe(inputs[0]));
  const ValueType output{to_, inputs[0].shape};
  expect_floating(name(), "output", output);
  return {output};
}

std::vector<Value> Cast::gradient(const GradientContext& context) const {
  if (!context.needed[0]) return {Value()};
  return {cast(context.output_gradients[0], context.inputs[0].dtype())};
}

std::vector<PartitionRule> Cast::partition(std::span<const ValueType> inputs,
                                           std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  // To a type of less precision a partial sum is better reduced first.
  if (is_floating(inputs[0].dtype) && size_of(to_) >= size_of(inputs[0].dtype))
    for (const Placement& partial : {Placement::partial_sum(), Placement::partial_max()})
      rules.push_back(partial_rule(partial, 1, {0}, 1, {0}));
  return rules;
}

Value cast(Value x, DType to) {
  if (x.dtype() == to) return x;
  return x.graph().add_one(std::make_shared<Cast>(to), {{x}});
}

std::pair<Value, Value> meet(Value a, Value b) {
  if (a.dtype() == DType::kBFloat16 && b.dtype() == DType::kFloat32) b = cast(b, a.dtype());
  if (b.dtype() == DType::kBFloat16 && a.dtype() == DType::kFloat32) a = cast(a, b.dtype());
  return {a, b};
}

}  // namespace synthesizer
