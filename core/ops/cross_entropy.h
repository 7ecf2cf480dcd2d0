// The output layer and its loss in one: the logits x·Eᵀ are made a block of the vocabulary at a time and never whole.
// Backward has them again from the softmax that forward kept, or makes them again.
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// Which words of a vocabulary count, and what of it a table holds.
struct VocabularyPart {
  int64_t true_vocab = 0;  // the words that count, of the whole vocabulary: padding gets no probability
  int64_t first_word = 0;  // of the table: with `vocab` split, a rank has words from here on
  int64_t blocks = 1;      // equal ones that the table's words are taken in, each with a log Σ exp of its own

  // Words of a table of `size` that count.
  int64_t words(int64_t size) const;
  bool operator==(const VocabularyPart&) const = default;
};

// What of a cross-entropy is wanted beside the loss.
struct CrossEntropyOptions {
  bool mean = false;  // of the logits, for label smoothing
  bool kept = false;  // the weights, for backward, which makes the logits again otherwise
};

// Inputs: x […, model], table [vocab, model] or [model, vocab], targets […] (i32: words of the whole vocabulary). The
// table and all outputs but the last are of compute_type() of x's; the product is of x's, its sums are not.
// Outputs:
//   log_z   […, vocab of `blocks`] = log Σ exp(logit) over the block's words that count; kNoWords where it has none
//   target  […] = logit of the target, 0 where the table does not hold it
//   mean    […] = Σ logits / true_vocab (for label smoothing; 0 if not asked for)
//   largest […] = the largest logit, kNoWords where no word counts; nothing flows back through it, for where it is used
//                 (log Σ exp of the blocks) it cancels
//   weights […, vocab], if they are kept: exp(logit − log_z) of the word's block, of x's type; 0 for padding
// so that the table can be split by words: target and mean are then sums over the ranks, largest a maximum.
class LinearCrossEntropy : public Op {
 public:
  static constexpr double kNoWords = -1e30;
  // Words of a block of which weights can be kept: a block's log_z has to be known when its logits are there.
  static constexpr int64_t kMostKept = 1024;

  LinearCrossEntropy(const VocabularyPart& part, const CrossEntropyOptions& options) : part_(part), options_(options) {}
  const VocabularyPart& part() const { return part_; }
  const CrossEntropyOptions& options() const { return options_; }

  std::string_view name() const override { return "linear_cross_entropy"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::shared_ptr<const Op> localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                     std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  VocabularyPart part_;
  CrossEntropyOptions options_;
};

// Inputs: x, table, targets, log_z (by block) or the weights that were kept, d_log_z (by block), d_target [, d_mean].
// Outputs: dx like x, dtable like table.
//   dlogit_v = d_log_z·w_v + d_target·[v = target] + d_mean / true_vocab, w_v = exp(logit_v − log_z) of v's block,
//   rounded to x's type. Without the weights the logits are made again: the results are the same, to the bit.
class LinearCrossEntropyGradient : public Op {
 public:
  LinearCrossEntropyGradient(const VocabularyPart& part, const CrossEntropyOptions& options)
      : part_(part), options_(options) {}
  const VocabularyPart& part() const { return part_; }
  const CrossEntropyOptions& options() const { return options_; }

  std::string_view name() const override { return "linear_cross_entropy_gradient"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::shared_ptr<const Op> localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                     std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  VocabularyPart part_;
  CrossEntropyOptions options_;
};

// All […]: log Σ_v exp(logit_v), the target's logit, the mean of the logits (0 if not asked for), so that
// nll = log_z − (1 − s)·target − s·mean.
struct CrossEntropy {
  Value log_z, target, mean;
};
// A table can be split by words over as many ranks as divide its words and this: 2⁶·3·5.
inline constexpr int kVocabularyParts = 960;
// The first `true_vocab` words of the table count. Weights are kept where blocks are small enough.
CrossEntropy linear_cross_entropy(Value x, Value table, Value targets, int64_t true_vocab,
                                  const CrossEntropyOptions& options);

}  // namespace synthesizer
