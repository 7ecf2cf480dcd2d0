// Applying an alignment that does not depend on the example (R, Fix, FR) to a batch with padded keys.
//
//   Y_b = Σ_j A_ij m_bj V_bj / Σ_j A_ij m_bj,  A = softmax(S) once for all examples, m_b the keys of example b that
//   live.
//
// One product a head for all examples: the rows of V are masked and one more column gives the divisor D. Where D
// underflows (a masked key holds the row's maximum) that row is computed from S with its own maximum.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// Inputs: S [heads, length, memory_length], A = softmax(S) (the same dims), V [batch, memory_length, heads, head],
// key_mask [batch, memory_length] (i32). Outputs: Y [batch, length, heads, head], D [batch, length, heads].
// S, A and D are of compute_type() of V's. The gradient flows to S and V; A's is folded into that of S, since A is its
// softmax. Causal: A is zero above the diagonal, and the fallback looks only at keys j <= i.
class SharedAttention : public Op {
 public:
  explicit SharedAttention(bool causal) : causal_(causal) {}
  bool causal() const { return causal_; }

  std::string_view name() const override { return "shared_attention"; }
  std::string attributes() const override { return causal_ ? "causal" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  bool causal_;
};

// Inputs: S, A, V, key_mask, Y, D, dY. Outputs: dS [heads, length, memory_length], dV like V.
//   dS_ij = A_ij Σ_b m_bj (dY_bi·V_bj − dY_bi·Y_bi) / D_bi,   dV_bj = m_bj Σ_i A_ij dY_bi / D_bi
class SharedAttentionGradient : public Op {
 public:
  explicit SharedAttentionGradient(bool causal) : causal_(causal) {}
  bool causal() const { return causal_; }

  std::string_view name() const override { return "shared_attention_gradient"; }
  std::string attributes() const override { return causal_ ? "causal" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  bool causal_;
};

Value shared_attention(Value logits, Value weights, Value values, Value key_mask, bool causal);

}  // namespace synthesizer
