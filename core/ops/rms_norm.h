// Root-mean-square layer normalisation (Zhang & Sennrich 2019) as T5 has it: y = x · rsqrt(mean(x²) + eps) · scale.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// Inputs: x […, dim], scale [dim]. Outputs: y like x, r […] = rsqrt(mean(x²) + eps), kept for the gradient. scale and r
// are of compute_type() of x's.
// As `residual` it takes a third input like x, normalises x plus it, and gives the sum as a third output; made by
// fuse_exactly() after differentiation, so without a gradient.
class RmsNorm : public Op {
 public:
  RmsNorm(std::string dim, double epsilon, bool residual = false)
      : dim_(std::move(dim)), epsilon_(epsilon), residual_(residual) {}
  bool residual() const { return residual_; }
  const std::string& dim() const { return dim_; }
  double epsilon() const { return epsilon_; }

  std::string_view name() const override { return "rms_norm"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override;

 private:
  std::string dim_;
  double epsilon_;
  bool residual_;
};

// Inputs: x, scale, r, dy. Outputs: dx = r (dy⊙scale − x r² mean(x ⊙ dy ⊙ scale)), dscale = Σ x r dy.
// With `base` a fifth input like dx, to which dx is added.
class RmsNormGradient : public Op {
 public:
  explicit RmsNormGradient(std::string dim, bool base = false) : dim_(std::move(dim)), base_(base) {}
  bool has_base() const { return base_; }
  const std::string& dim() const { return dim_; }

  std::string_view name() const override { return "rms_norm_gradient"; }
  std::string attributes() const override { return dim_ + (base_ ? ", added" : ""); }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override;

 private:
  std::string dim_;
  bool base_;
};

Value rms_norm(Value x, Value scale, const std::string& dim, double epsilon);

}  // namespace synthesizer
