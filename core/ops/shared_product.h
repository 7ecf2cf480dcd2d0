// Applying an alignment that does not depend on the example (R, Fix, FR) to a whole batch: one product a head, whose
// gradients sum over the examples in the products themselves. Where keys are padded, shared_attention.h.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// Y_bi = Σ_j A_ij V_bj. Inputs: A [heads, length, memory_length] of compute_type() of V's type, and rounded to that
// type before it is multiplied; V [batch, memory_length, heads, head]. Output: Y [batch, length, heads, head], like V.
// Causal: A is zero above the diagonal, as a causal softmax makes it, and that half is not multiplied.
class SharedProduct : public Op {
 public:
  explicit SharedProduct(bool causal) : causal_(causal) {}
  bool causal() const { return causal_; }

  std::string_view name() const override { return "shared_product"; }
  std::string attributes() const override { return causal_ ? "causal" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  bool causal_;
};

// Inputs: A, V, dY (like Y). Outputs: dA [heads, length, memory_length], zero above the diagonal if causal; dV like V.
//   dA_ij = Σ_b dY_bi·V_bj,   dV_bj = Σ_i A_ij dY_bi
class SharedProductGradient : public Op {
 public:
  explicit SharedProductGradient(bool causal) : causal_(causal) {}
  bool causal() const { return causal_; }

  std::string_view name() const override { return "shared_product_gradient"; }
  std::string attributes() const override { return causal_ ? "causal" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  bool causal_;
};

Value shared_product(Value weights, Value values, bool causal);

}  // namespace synthesizer
