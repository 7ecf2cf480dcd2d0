// Softmax over one dim, with what attention adds to it: terms shared by the batch, a key mask, causality.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

struct SoftmaxOptions {
  std::string over;   // the dim that sums to one
  std::string query;  // with `causal`: key j is seen by query i only if j <= i; both dims start at 0
  bool causal = false;
  bool addend = false;    // a second input is added to x, broadcast by name ([heads, length, memory_length] to x)
  bool key_mask = false;  // an input [batch, over] (i32): keys with 0 get weight exactly 0
  bool segments = false;  // with `key_mask`, a last input [batch, query] (i32): a query sees the keys of its own number
};

// Inputs: x [, addend] [, key_mask [, segments]]; y = softmax(x + addend) over the keys that may be seen, 0 elsewhere.
// A row with no key to see is all 0. The addend is of compute_type() of x's.
class Softmax : public Op {
 public:
  explicit Softmax(SoftmaxOptions options) : options_(std::move(options)) {}
  const SoftmaxOptions& options() const { return options_; }

  std::string_view name() const override { return "softmax"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, Alias::Kind::kInPlace}}; }

 private:
  SoftmaxOptions options_;
};

// dx = y ⊙ (dy − Σ_over dy ⊙ y). Inputs (y, dy); `causal` as above: only the lower triangle is read, dx is 0 above.
class SoftmaxGradient : public Op {
 public:
  explicit SoftmaxGradient(SoftmaxOptions options) : options_(std::move(options)) {}
  const SoftmaxOptions& options() const { return options_; }

  std::string_view name() const override { return "softmax_gradient"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override { return {{0, 1, Alias::Kind::kInPlace}}; }

 private:
  SoftmaxOptions options_;
};

// `addend`, `key_mask` and `segments` may be no value; the options' flags follow from them.
Value softmax(Value x, const std::string& over, Value addend = {}, Value key_mask = {},
              const std::string& causal_query = {}, Value segments = {});

}  // namespace synthesizer
