// Elements along a dim by position, each example its own: what is sized by position, as the tokens of a packed row meet
// it.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// Inputs: x […, dim, …], with or without batch in front, and positions [batch, to] (i32; anything outside of `dim`
// gives 0). Output: batch in front, `to` in the place of `dim`: y[b, …, j, …] = x[(b,) …, positions[b, j], …].
class Take : public Op {
 public:
  explicit Take(std::string dim) : dim_(std::move(dim)) {}
  const std::string& dim() const { return dim_; }

  std::string_view name() const override { return "take"; }
  std::string attributes() const override { return dim_; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  std::string dim_;
};

// Inputs: positions [batch, to] and dy [batch, …, to, …]. Output: dy's elements added where the positions say, `dim` in
// the place of `to`, for each example or, without `each_example`, for all of them together, in order.
class TakeGradient : public Op {
 public:
  TakeGradient(Dim dim, bool each_example) : dim_(std::move(dim)), each_example_(each_example) {}
  const Dim& dim() const { return dim_; }
  bool each_example() const { return each_example_; }

  std::string_view name() const override { return "take_gradient"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  Dim dim_;
  bool each_example_;
};

Value take(Value x, const std::string& dim, Value positions);

}  // namespace synthesizer
