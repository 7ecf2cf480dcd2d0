// Rows of a table by id, and T5's relative-position bias (a table by bucket of the distance).
#pragma once

#include "core/graph/graph.h"

namespace synthesizer {

// Inputs: table [vocab, model], ids […] (i32, 0 <= id < vocab; anything else gives a row of 0). Output […, model].
// `narrow`: rows of an f32 table are rounded to bf16.
// With `vocab` split, a rank gathers its own rows: ids are taken relative to first_row() and others give 0.
class Embedding : public Op {
 public:
  explicit Embedding(int64_t first_row = 0, bool narrow = false) : first_row_(first_row), narrow_(narrow) {}
  bool narrow() const { return narrow_; }
  int64_t first_row() const { return first_row_; }

  std::string_view name() const override { return "embedding"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::shared_ptr<const Op> localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                     std::span<const ValueType>) const override;
  // The rows taken, not the table.
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  int64_t first_row_;
  bool narrow_;
};

// Inputs: ids, dy […, model] [, base [vocab, model]]. Output [vocab, model]: base (else 0) plus dy's rows added where
// their ids say, rows of one id in the order of the ids' positions. In place over base.
// base and output are of compute_type() of dy's.
class EmbeddingGradient : public Op {
 public:
  EmbeddingGradient(Dim vocab, int64_t first_row, bool has_base)
      : vocab_(std::move(vocab)), first_row_(first_row), has_base_(has_base) {}
  const Dim& vocab() const { return vocab_; }
  int64_t first_row() const { return first_row_; }
  bool has_base() const { return has_base_; }

  std::string_view name() const override { return "embedding_gradient"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::shared_ptr<const Op> localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                     std::span<const ValueType>) const override;
  // The rows added to, and the table only where it is made.
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override;

 private:
  Dim vocab_;
  int64_t first_row_;
  bool has_base_;
};

struct RelativeBiasOptions {
  int64_t length = 0, memory_length = 0;  // of the output
  bool bidirectional = true;
  int64_t max_distance = 128;
};

// The bucket of T5 (Raffel et al. 2020) for key − query = `relative`, of `buckets` buckets.
int relative_bucket(int64_t relative, int64_t buckets, int64_t max_distance, bool bidirectional);

// Input: table [buckets, heads]. Output [heads, length, memory_length]: table[bucket(j − i), head].
class RelativeBias : public Op {
 public:
  explicit RelativeBias(RelativeBiasOptions options) : options_(options) {}
  const RelativeBiasOptions& options() const { return options_; }

  std::string_view name() const override { return "relative_bias"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  RelativeBiasOptions options_;
};

// Input: dy [heads, length, memory_length]. Output [buckets, heads]. Accumulates in double.
class RelativeBiasGradient : public Op {
 public:
  RelativeBiasGradient(RelativeBiasOptions options, int64_t buckets) : options_(options), buckets_(buckets) {}
  const RelativeBiasOptions& options() const { return options_; }
  int64_t buckets() const { return buckets_; }

  std::string_view name() const override { return "relative_bias_gradient"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;

 private:
  RelativeBiasOptions options_;
  int64_t buckets_;
};

// Rows as `to`: the table's type, or bf16 of an f32 table.
Value embedding(Value table, Value ids, DType to);
Value embedding(Value table, Value ids);
Value relative_bias(Value table, const RelativeBiasOptions& options);

}  // namespace synthesizer
