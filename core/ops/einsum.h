// Products by name: out[…] = Σ over the contracted dims of a[…] · b[…].
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// What is done to an element of a product before it is stored.
enum class Epilogue {
  kNone,
  kRelu,          // relu(x)
  kReluGradient,  // x times the derivative of the relu whose result is the third input
};

// A dim that both inputs have is a batch dim if the output keeps it and contracted if it does not; a dim that one input
// has must be in the output. Accumulates in compute_type() of the inputs' type, which is the output's type if `wide`.
// kReluGradient has a third input, like the output. An epilogue comes with fuse_exactly() after differentiation, so
// without a gradient, and is not counted as operations.
class Einsum : public Op {
 public:
  explicit Einsum(DimNames output, bool wide = false, Epilogue epilogue = Epilogue::kNone)
      : output_(std::move(output)), wide_(wide), epilogue_(epilogue) {}
  const DimNames& output() const { return output_; }  // order of the output's dims
  bool wide() const { return wide_; }
  Epilogue epilogue() const { return epilogue_; }

  std::string_view name() const override { return "einsum"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;  // einsums
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  DimNames output_;
  bool wide_;
  Epilogue epilogue_;
};

// In both builders a weight in f32 is cast for an activation in bf16 (meet() in core/ops/cast.h).
// Output order: what is left of a's dims, then of b's that a has not.
Value einsum(Value a, Value b, const DimNames& contract);
// Output order given; every dim that is not in it is contracted.
Value einsum_to(Value a, Value b, const DimNames& output);
// The same in compute_type() of the inputs' type: of what must not be rounded to bf16.
Value wide_einsum_to(Value a, Value b, const DimNames& output);

}  // namespace synthesizer
