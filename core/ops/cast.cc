#include "core/ops/cast.h"

#include "core/base/error.h"
#include "core/ops/contract.h"

namespace synthesizer {

std::vector<ValueType> Cast::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  if (inputs[0].dtype != DType::kInt32) fail("[cast] input: got {}, expected i32", describe(inputs[0]));
  const ValueType output{to_, inputs[0].shape};
  expect_floating(name(), "output", output);
  return {output};
}

std::vector<PartitionRule> Cast::partition(std::span<const ValueType> inputs,
                                           std::span<const ValueType> outputs) const {
  return independent_rules(inputs, outputs);
}

Value cast(Value x, DType to) { return x.graph().add_one(std::make_shared<Cast>(to), {{x}}); }

}  // namespace synthesizer
