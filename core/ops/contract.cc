#include "core/ops/contract.h"

#include <algorithm>

#include "core/base/error.h"

namespace synthesizer {

std::string describe(const ValueType& type) {
  return fmt::format("{} {}", to_string(type.dtype), type.shape.to_string());
}

void expect_count(std::string_view op, std::span<const ValueType> inputs, size_t count) {
  if (inputs.size() != count) fail("[{}] number of inputs: got {}, expected {}", op, inputs.size(), count);
}

void expect_floating(std::string_view op, std::string_view what, const ValueType& type) {
  if (!is_floating(type.dtype)) fail("[{}] {}: got {}, expected f32, f64 or bf16", op, what, describe(type));
}

void expect_type(std::string_view op, std::string_view what, const ValueType& type, const ValueType& expected) {
  if (type != expected) fail("[{}] {}: got {}, expected {}", op, what, describe(type), describe(expected));
}

void expect_dim(std::string_view op, std::string_view what, const ValueType& type, std::string_view dim) {
  if (!type.shape.has(dim)) fail("[{}] {}: got {}, expected a dimension {}", op, what, describe(type), dim);
}

void expect_same_sizes(std::string_view op, const ValueType& a, const ValueType& b) {
  for (const Dim& dim : a.shape.dims())
    if (b.shape.has(dim.name) && b.shape.size(dim.name) != dim.size)
      fail("[{}] dimension {}: got {} and {}, expected equal sizes", op, dim.name, describe(a), describe(b));
}

void expect_one_floating_type(std::string_view op, std::span<const ValueType> inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    expect_floating(op, fmt::format("input {}", i), inputs[i]);
    if (inputs[i].dtype != inputs[0].dtype)
      fail("[{}] input {}: got {}, expected {} like the first", op, i, describe(inputs[i]), to_string(inputs[0].dtype));
  }
}

PartitionRule split_rule(const std::string& dim, std::span<const ValueType> inputs,
                         std::span<const ValueType> outputs) {
  const auto place = [&](const ValueType& type) {
    return type.shape.has(dim) ? Placement::split(dim) : Placement::whole();
  };
  PartitionRule rule;
  std::transform(inputs.begin(), inputs.end(), std::back_inserter(rule.inputs), place);
  std::transform(outputs.begin(), outputs.end(), std::back_inserter(rule.outputs), place);
  return rule;
}

std::vector<PartitionRule> independent_rules(std::span<const ValueType> inputs, std::span<const ValueType> outputs,
                                             const DimNames& except) {
  std::vector<PartitionRule> rules = {whole_rule(inputs.size(), outputs.size())};
  DimNames seen = except;
  for (const auto types : {inputs, outputs})
    for (const ValueType& type : types)
      for (const Dim& dim : type.shape.dims()) {
        if (std::find(seen.begin(), seen.end(), dim.name) != seen.end()) continue;
        seen.push_back(dim.name);
        rules.push_back(split_rule(dim.name, inputs, outputs));
      }
  return rules;
}

PartitionRule partial_rule(const Placement& partial, size_t inputs, std::initializer_list<size_t> partial_inputs,
                           size_t outputs, std::initializer_list<size_t> partial_outputs) {
  PartitionRule rule = whole_rule(inputs, outputs);
  for (const size_t i : partial_inputs) rule.inputs[i] = partial;
  for (const size_t i : partial_outputs) rule.outputs[i] = partial;
  return rule;
}

int64_t total_elements(std::span<const ValueType> types) {
  int64_t elements = 0;
  for (const ValueType& type : types) elements += type.shape.elements();
  return elements;
}

}  // namespace synthesizer
