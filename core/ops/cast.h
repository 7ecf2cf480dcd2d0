// From a mask or count of integers to numbers that a model calculates with.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// Input: i32 […]. Output: the same elements as `to`, f32 or f64. Nothing flows back: integers have no gradient.
class Cast : public Op {
 public:
  explicit Cast(DType to) : to_(to) {}
  DType to() const { return to_; }

  std::string_view name() const override { return "cast"; }
  std::string attributes() const override { return std::string(to_string(to_)); }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext&) const override { return {Value()}; }
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  DType to_;
};

// A key mask [batch, memory_length] times x is one product by name: x * cast(mask, x.dtype()).
Value cast(Value x, DType to);

}  // namespace synthesizer
