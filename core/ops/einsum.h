// Products by name: out[…] = Σ over the contracted dims of a[…] · b[…].
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// What is done to an element of a product before it is stored.
enum class Epilogue {
  kNone,
  kRelu,                // relu(x)
  kReluGradient,        // x times the derivative of the relu whose result is the last input
  kReluWithMask,        // relu(x), whose mask is the second output
  kReluGradientByMask,  // the same as kReluGradient, of the relu whose mask is the last input
};

// Of relu's result, one bit an element: whether it is above 0. Rows are its dims but the last, one after the other;
// element c of a row is bit c % 32 of word c / 32, and a row is a whole number of 128 bits (as cuBLASLt has it), of
// which those behind its end may be anything.
constexpr int64_t mask_words(int64_t columns) { return (columns + 127) / 128 * 4; }
// [rows, words] in int32.
ValueType mask_type(const ValueType& relu);

// A dim that both inputs have is a batch dim if the output keeps it and contracted if it does not; a dim that one input
// has must be in the output. Accumulates in compute_type() of the inputs' type, which is the output's type if `wide`.
// With a bias, the third input (a gradient has none), whose dims are the output's last ones: it is added to the sum
// before the epilogue, rounded once with it where the kernel of the product does it, or after the product is rounded;
// the same way for all nodes of these types. A relu's result or mask is the last input, like the output and of
// mask_type(). By a mask, the gradient is 0 where the bit is not set even if the product is not finite there, or NaN,
// as by relu's result: what makes it so shows in the gradients of weights, which nothing masks. A bias and an epilogue
// come with passes (core/ops/passes/) after differentiation, so without a gradient, and are not counted as operations.
class Einsum : public Op {
 public:
  explicit Einsum(DimNames output, bool wide = false, Epilogue epilogue = Epilogue::kNone, bool bias = false)
      : output_(std::move(output)), wide_(wide), epilogue_(epilogue), bias_(bias) {}
  const DimNames& output() const { return output_; }  // order of the output's dims
  bool wide() const { return wide_; }
  Epilogue epilogue() const { return epilogue_; }
  bool has_bias() const { return bias_; }
  bool has_mask() const { return epilogue_ == Epilogue::kReluWithMask || epilogue_ == Epilogue::kReluGradientByMask; }
  // Whether a relu's result or mask is an input.
  bool is_gradient() const {
    return epilogue_ == Epilogue::kReluGradient || epilogue_ == Epilogue::kReluGradientByMask;
  }
  size_t inputs() const { return 2 + (bias_ ? 1 : 0) + (is_gradient() ? 1 : 0); }

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
  bool bias_;
};

// In both builders a weight in f32 is cast for an activation in bf16 (meet() in core/ops/cast.h).
// Output order: what is left of a's dims, then of b's that a has not.
Value einsum(Value a, Value b, const DimNames& contract);
// Output order given; every dim that is not in it is contracted.
Value einsum_to(Value a, Value b, const DimNames& output);
// The same in compute_type() of the inputs' type: of what must not be rounded to bf16.
Value wide_einsum_to(Value a, Value b, const DimNames& output);

}  // namespace synthesizer
