// From one element type to another: masks and counts to numbers that a model calculates with; weights to what their
// products are calculated in.
#pragma once

#include <utility>

#include "core/graph/graph.h"

namespace synthesizer {

// Input: i32, f32, f64 or bf16 […]. Output: the same elements as `to`, a floating-point type, rounded to nearest. The
// gradient is cast back; integers have none.
class Cast : public Op {
 public:
  explicit Cast(DType to) : to_(to) {}
  DType to() const { return to_; }

  std::string_view name() const override { return "cast"; }
  std::string attributes() const override { return std::string(to_string(to_)); }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  DType to_;
};

// A key mask [batch, memory_length] times x is one product by name: x * cast(mask, x.dtype()).
// x itself where it is of this type.
Value cast(Value x, DType to);
// Both in the type of the lower precision, where one is bf16 and one f32: what is calculated with activations goes by
// theirs.
std::pair<Value, Value> meet(Value a, Value b);

}  // namespace synthesizer
