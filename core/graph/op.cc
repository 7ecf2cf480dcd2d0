#include "core/graph/op.h"

#include "core/base/error.h"

namespace synthesizer {

std::string Placement::to_string() const {
  switch (kind) {
    case Kind::kWhole:
      return "whole";
    case Kind::kSplit:
      return "split(" + dim + ")";
    case Kind::kPartialSum:
      return "sum";
    case Kind::kPartialMax:
      return "max";
  }
  fail("unknown placement {}", static_cast<int>(kind));
}

std::vector<Value> Op::gradient(const GradientContext& context) const {
  fail("[{} {}] has no gradient", name(), context.name);
}

std::shared_ptr<const Op> Op::localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                       std::span<const ValueType>) const {
  return nullptr;
}

Cost Op::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {0, total_bytes(inputs) + total_bytes(outputs)};
}

PartitionRule whole_rule(size_t inputs, size_t outputs) {
  return {std::vector<Placement>(inputs), std::vector<Placement>(outputs)};
}

int64_t total_bytes(std::span<const ValueType> types) {
  int64_t bytes = 0;
  for (const ValueType& type : types) bytes += type.bytes();
  return bytes;
}

}  // namespace synthesizer
