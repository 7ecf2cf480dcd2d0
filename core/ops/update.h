// Ops that write what lives between steps, or between the passes of one: the optimizer's last step, sums of gradients.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
};

// AdamW (Loshchilov & Hutter 2019). Inputs: parameter, first, second (like it), gradient, learning_rate [], scale []
// (of the gradient: clipping), step [] (i64, 0 for the first), apply [] (0: everything stays as it is).
//   g = scale·gradient; m = β1 m + (1−β1) g; v = β2 v + (1−β2) g²; t = step + 1
//   p -= lr · (m/(1−β1ᵗ) / (sqrt(v/(1−β2ᵗ)) + ε) + weight_decay · p)
// Outputs: parameter, first, second, in place; without `in_place` the first is the new parameter, which an Assign puts
// where it belongs: a rank that has a part of the moments makes that part. With `rounds`, in place, the last input is a
// bf16 copy of the parameter (persistent), and the last output that copy of the new one, rounded as Cast rounds.
class AdamW : public Op {
 public:
  static constexpr size_t kApply = 7;  // that input

  explicit AdamW(AdamWOptions options, bool in_place = true, bool rounds = false);
  const AdamWOptions& options() const { return options_; }
  bool in_place() const { return in_place_; }
  bool rounds() const { return rounds_; }

  std::string_view name() const override { return "adamw"; }
  std::string attributes() const override;
  bool pure() const override { return false; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override;

 private:
  AdamWOptions options_;
  bool in_place_, rounds_;
};

// Inputs: target (persistent), value (like it, or of more precision than a bf16 target: it is then rounded as Cast
// rounds), apply []. Output: target, overwritten by value if apply is not 0.
class Assign : public Op {
 public:
  static constexpr size_t kApply = 2;  // that input

  std::string_view name() const override { return "assign"; }
  bool pure() const override { return false; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, Alias::Kind::kUpdate}}; }
};

// The sum of x and what earlier passes of the step have left, in this order: ((x + a) + b) + …. With `stores` the first
// input is where it goes (persistent; it may be one of the addends too), and x the second. It is linear, so sums may
// be kept partial: they are then reduced once, after the last pass.
class Accumulate : public Op {
 public:
  explicit Accumulate(bool stores) : stores_(stores) {}
  bool stores() const { return stores_; }

  std::string_view name() const override { return "accumulate"; }
  std::string attributes() const override { return stores_ ? "into the first" : ""; }
  bool pure() const override { return false; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override;

 private:
  bool stores_;
};

struct AdamWState {
  Value parameter, first, second;
};
AdamWState adamw(Value parameter, Value first, Value second, Value gradient, Value learning_rate, Value scale,
                 Value step, Value apply, const AdamWOptions& options, bool in_place = true);
Value assign(Value target, Value value, Value apply);
// `into`: where the sum goes; no value: it is a new one.
Value accumulate(Value into, Value x, std::span<const Value> addends);

}  // namespace synthesizer
