// The output layer and its loss in one: the logits x·Eᵀ are made a block of the vocabulary at a time and never whole.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// Inputs: x […, model], table [vocab, model] or [model, vocab], targets […] (i32). Outputs, all […]:
//   log_z   = log Σ_v exp(logit_v)
//   target  = logit of the target
//   mean    = mean of the logits (for label smoothing; 0 if not asked for)
// so that nll = log_z − (1 − s)·target − s·mean. Only the first `true_vocab` columns count: padding gets no
// probability.
class LinearCrossEntropy : public Op {
 public:
  LinearCrossEntropy(int64_t true_vocab, bool mean) : true_vocab_(true_vocab), mean_(mean) {}
  int64_t true_vocab() const { return true_vocab_; }
  bool mean() const { return mean_; }

  std::string_view name() const override { return "linear_cross_entropy"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  int64_t true_vocab_;
  bool mean_;
};

// Inputs: x, table, targets, log_z, d_log_z, d_target [, d_mean]. Outputs: dx like x, dtable like table.
//   dlogit_v = d_log_z·exp(logit_v − log_z) + d_target·[v = target] + d_mean / true_vocab; logits are computed again.
class LinearCrossEntropyGradient : public Op {
 public:
  LinearCrossEntropyGradient(int64_t true_vocab, bool mean) : true_vocab_(true_vocab), mean_(mean) {}
  int64_t true_vocab() const { return true_vocab_; }
  bool mean() const { return mean_; }

  std::string_view name() const override { return "linear_cross_entropy_gradient"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  int64_t true_vocab_;
  bool mean_;
};

struct CrossEntropy {
  Value log_z, target, mean;
};
CrossEntropy linear_cross_entropy(Value x, Value table, Value targets, int64_t true_vocab, bool mean);

}  // namespace synthesizer
