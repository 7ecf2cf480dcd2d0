#include "core/ops/horizontal.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/ops/contract.h"

namespace synthesizer {

HorizontalFusion::HorizontalFusion(std::vector<Part> parts) : parts_(std::move(parts)) {
  CHECK(!parts_.empty(), "[horizontal] has no parts");
}

std::string HorizontalFusion::attributes() const {
  std::string text = fmt::format("{} parts", parts_.size());
  for (const Part& part : parts_) {
    const std::string of = part.op->attributes();
    text += fmt::format(" | {}{}{}", part.op->name(), of.empty() ? "" : " ", of);
  }
  return text;
}

bool HorizontalFusion::pure() const {
  return std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.op->pure(); });
}

std::vector<ValueType> HorizontalFusion::infer(std::span<const ValueType> inputs) const {
  size_t count = 0;
  for (const Part& part : parts_) count += part.inputs;
  expect_count(name(), inputs, count);
  std::vector<ValueType> outputs;
  for (const Part& part : parts_) {
    const std::vector<ValueType> own = part.op->infer(inputs.first(part.inputs));
    CHECK(own.size() == part.outputs, "[horizontal] {} gives {} values, expected {}", part.op->name(), own.size(),
          part.outputs);
    outputs.insert(outputs.end(), own.begin(), own.end());
    inputs = inputs.subspan(part.inputs);
  }
  return outputs;
}

std::vector<PartitionRule> HorizontalFusion::partition(std::span<const ValueType> inputs,
                                                       std::span<const ValueType> outputs) const {
  return {whole_rule(inputs.size(), outputs.size())};
}

Cost HorizontalFusion::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  Cost sum;
  for (const Part& part : parts_) {
    const Cost own = part.op->cost(inputs.first(part.inputs), outputs.first(part.outputs));
    sum.flops += own.flops;
    sum.bytes += own.bytes;
    sum.again += own.again;
    inputs = inputs.subspan(part.inputs);
    outputs = outputs.subspan(part.outputs);
  }
  return sum;
}

std::vector<Alias> HorizontalFusion::aliases() const {
  std::vector<Alias> aliases;
  int inputs = 0, outputs = 0;
  for (const Part& part : parts_) {
    for (const Alias& own : part.op->aliases())
      if (own.kind == Alias::Kind::kUpdate) aliases.push_back({outputs + own.output, inputs + own.input, own.kind});
    inputs += static_cast<int>(part.inputs);
    outputs += static_cast<int>(part.outputs);
  }
  return aliases;
}

}  // namespace synthesizer
