// Validation: the mean cross entropy of held-out examples, whole and without sentinels, beside the unigram entropy that
// a model without context could reach.
#pragma once

#include <memory>
#include <vector>

#include "core/graph/program.h"
#include "core/train/batch_source.h"
#include "core/train/metrics.h"

namespace synthesizer {

struct EvaluationResult {
  int64_t targets = 0;         // live ones
  double loss = 0;             // mean nll of the live targets, nats
  double text_loss = 0;        // of those that are no sentinels
  double unigram_entropy = 0;  // of the live targets' own distribution, nats
  double text_unigram_entropy = 0;
};

// As they are written to metrics.jsonl, validation_loss first.
NamedValues named_values(const EvaluationResult& result);

struct EvaluationOptions {
  int32_t first_sentinel = 0;  // ids from here on are sentinels
  int64_t vocab = 0;
  int64_t first_row = 0;  // of this rank in what the graph evaluates at once
};

class Evaluation {
 public:
  // `graph` is a partitioned evaluation graph, of a whole batch or an equal part of one; `state` that of the training,
  // `source` a pass over the validation data. `row_ranks`: the ranks among which the rows of a batch are shared out;
  // null: each has all.
  Evaluation(std::unique_ptr<Graph> graph, const KernelTable& kernels, const AxisCommunicators& communicators,
             StateStore& state, std::unique_ptr<BatchSource> source, Communicator* row_ranks,
             EvaluationOptions options);

  // Collective; the same result on all ranks, and with the same number of ranks the same bits.
  EvaluationResult run();

 private:
  void add(const Batch& batch);
  // The targets [first, first + count) of the batch, whose nll the program has just given.
  void add_part(const Batch& batch, size_t first, size_t count);

  std::unique_ptr<Graph> graph_;
  Program program_;
  std::unique_ptr<BatchSource> source_;
  Communicator* row_ranks_;
  EvaluationOptions options_;
  double sums_[2] = {0, 0};      // of nll: all live targets, those that are no sentinels
  std::vector<int64_t> counts_;  // of each id among the live targets
};

}  // namespace synthesizer
