// The tables here speak of the *other* axes: collectives are inserted for one axis before the next one is partitioned.
#include "core/ops/collectives.h"

#include "core/base/error.h"
#include "core/ops/contract.h"

namespace synthesizer {
namespace {

// A collective that moves or adds blocks along `except`, element by element along the other dims.
std::vector<PartitionRule> linear_rules(std::span<const ValueType> inputs, std::span<const ValueType> outputs,
                                        const DimNames& except) {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, except);
  rules.push_back(partial_rule(Placement::partial_sum(), 1, {0}, 1, {0}));
  return rules;
}

void expect_wire(std::string_view op, std::span<const ValueType> inputs, Wire wire) {
  for (const ValueType& type : inputs)
    if (wire != Wire::kFull && type.dtype != DType::kFloat32)
      fail("[{}] input: got {}, expected f32, which can be sent as bf16", op, describe(type));
}

std::string_view suffix(Wire wire) { return wire == Wire::kFull ? "" : ", sent as bf16"; }

ValueType scaled(std::string_view op, const ValueType& type, const std::string& dim, int times, int parts) {
  expect_dim(op, "input", type, dim);
  const int64_t size = type.shape.size(dim);
  if (size % parts != 0) fail("[{}] {}: got {}, expected a size that {} ranks divide", op, dim, describe(type), parts);
  return {type.dtype, type.shape.with_size(dim, size / parts * times)};
}

}  // namespace

// ---- AllReduce

std::string AllReduce::attributes() const {
  return fmt::format("{} over {}{}", reduction_ == Reduction::kSum ? "sum" : "max", axis_, suffix(wire_));
}

std::vector<ValueType> AllReduce::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, count_);
  expect_wire(name(), inputs, wire_);
  return {inputs.begin(), inputs.end()};
}

std::vector<PartitionRule> AllReduce::partition(std::span<const ValueType> inputs,
                                                std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  const Placement partial = reduction_ == Reduction::kSum ? Placement::partial_sum() : Placement::partial_max();
  rules.push_back({std::vector(count_, partial), std::vector(count_, partial)});
  return rules;
}

std::vector<Alias> AllReduce::aliases() const {
  std::vector<Alias> aliases;
  for (int i = 0; i < static_cast<int>(count_); ++i) aliases.push_back({i, i, Alias::Kind::kInPlace});
  return aliases;
}

// ---- ReduceScatter

std::string ReduceScatter::attributes() const {
  return fmt::format("{} over {} {}{}", dim_, size_, axis_, suffix(wire_));
}

std::vector<ValueType> ReduceScatter::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  expect_wire(name(), inputs, wire_);
  return {scaled(name(), inputs[0], dim_, 1, size_)};
}

std::vector<PartitionRule> ReduceScatter::partition(std::span<const ValueType> inputs,
                                                    std::span<const ValueType> outputs) const {
  return linear_rules(inputs, outputs, {dim_});
}

// ---- AllGather

std::string AllGather::attributes() const { return fmt::format("{} over {} {}", dim_, size_, axis_); }

std::vector<ValueType> AllGather::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  return {scaled(name(), inputs[0], dim_, size_, 1)};
}

std::vector<PartitionRule> AllGather::partition(std::span<const ValueType> inputs,
                                                std::span<const ValueType> outputs) const {
  return linear_rules(inputs, outputs, {dim_});
}

// ---- AllToAll

std::string AllToAll::attributes() const { return fmt::format("{} to {} over {} {}", from_, to_, size_, axis_); }

std::vector<ValueType> AllToAll::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  return {scaled(name(), scaled(name(), inputs[0], from_, size_, 1), to_, 1, size_)};
}

std::vector<PartitionRule> AllToAll::partition(std::span<const ValueType> inputs,
                                               std::span<const ValueType> outputs) const {
  return linear_rules(inputs, outputs, {from_, to_});
}

// ---- KeepOnFirst

std::string KeepOnFirst::attributes() const { return fmt::format("{} {} of {}", axis_.axis, axis_.index, axis_.size); }

std::vector<ValueType> KeepOnFirst::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  return {inputs[0]};
}

std::vector<PartitionRule> KeepOnFirst::partition(std::span<const ValueType> inputs,
                                                  std::span<const ValueType> outputs) const {
  return linear_rules(inputs, outputs, {});
}

}  // namespace synthesizer
