// Windows along a dim, as convolutions see them: neighbours side by side (unfold, and its adjoint, fold), and depthwise
// convolution, which needs no such copy. Position l of a window of size w sees the input's l - before … l - before + w
// - 1; what lies outside counts 0.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

inline const DimName kWindow{"window"};  // the places of a window

// x […, dim, rest] → […, dim, window, rest]: y[l, w] = x[l + w - before].
class Unfold : public Op {
 public:
  Unfold(std::string dim, Dim window, int64_t before)
      : dim_(std::move(dim)), window_(std::move(window)), before_(before) {}
  const std::string& dim() const { return dim_; }
  const Dim& window() const { return window_; }
  int64_t before() const { return before_; }

  std::string_view name() const override { return "unfold"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;  // fold
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  std::string dim_;
  Dim window_;
  int64_t before_;
};

// y […, dim, window, rest] → […, dim, rest]: x[l] = Σ_w y[l - w + before, w] over the rows that there are.
class Fold : public Op {
 public:
  Fold(std::string dim, Dim window, int64_t before)
      : dim_(std::move(dim)), window_(std::move(window)), before_(before) {}
  const std::string& dim() const { return dim_; }
  const Dim& window() const { return window_; }
  int64_t before() const { return before_; }

  std::string_view name() const override { return "fold"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;  // unfold
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  std::string dim_;
  Dim window_;
  int64_t before_;
};

// Depthwise convolution (Wu et al. 2019). Inputs: u [batch, length, heads, head] and weights, either [heads, window],
// the same everywhere, or [batch, length, heads, window], each position's own. The channels of a head share its
// weights. Output like u: y[b, l, h, c] = Σ_w u[b, l + w - before, h, c] · weights[…, h, w].
class Window : public Op {
 public:
  explicit Window(int64_t before) : before_(before) {}
  int64_t before() const { return before_; }

  std::string_view name() const override { return "window"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  int64_t before_;
};

// Inputs: u, weights, dy. Outputs: du like u, dweights like weights (of [heads, window], long sums are in double).
class WindowGradient : public Op {
 public:
  explicit WindowGradient(int64_t before) : before_(before) {}
  int64_t before() const { return before_; }

  std::string_view name() const override { return "window_gradient"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  int64_t before_;
};

// What a window of size `width` sees before its own position: all of it but one if causal, else half of it, the
// shorter half where the width is even.
int64_t window_before(int64_t width, bool causal);

Value unfold(Value x, const std::string& dim, const Dim& window, int64_t before);
// u and weights as of Window.
Value window(Value u, Value weights, int64_t before);

}  // namespace synthesizer
