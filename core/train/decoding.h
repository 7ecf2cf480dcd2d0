// Greedy decoding by running the whole model for each token: the plain way, without a cache.
#pragma once

#include <memory>
#include <vector>

#include "core/graph/program.h"
#include "core/train/step_graph.h"

namespace synthesizer {

class GreedyDecoder {
 public:
  // `options.shape` is the largest batch and lengths; `state` holds the parameters.
  GreedyDecoder(const StepGraphOptions& options, const KernelTable& kernels, StateStore& state);

  // For each row of `inputs` (encoder tokens, at most source_length; for a decoder alone: the text to go on with, at
  // most target_length − 1 tokens) the tokens after it, up to the end-of-text token (left out) or the maximum length.
  // Ids from `vocab` on are never chosen. Throws UsageError for a row that is too long.
  std::vector<std::vector<int32_t>> decode(const std::vector<std::vector<int32_t>>& inputs, int32_t end_of_text,
                                           int64_t vocab);

 private:
  std::vector<std::vector<int32_t>> decode_batch(std::span<const std::vector<int32_t>> inputs, int32_t end_of_text,
                                                 int64_t vocab);
  int32_t best_token(int64_t row, int64_t vocab);

  BatchShape shape_;
  bool has_encoder_;
  std::unique_ptr<Graph> graph_;
  Program program_;
};

}  // namespace synthesizer
