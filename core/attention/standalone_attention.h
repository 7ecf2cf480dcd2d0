// What stands alone: the baselines that the paper compares with take the place of alignment and values both, so that
// there is nothing to mix. One class and one file each; norm, residual and dropout around them are the block's.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

class StandaloneAttention {
 public:
  StandaloneAttention(const AttentionConfig& config, const AttentionSizes& sizes) : config_(config), sizes_(sizes) {}
  virtual ~StandaloneAttention() = default;

  // in.x [batch, length, model] to the same dims; in.values and in.weight have no value. Throws UsageError for lengths
  // beyond max_length if anything is sized by position.
  virtual Value attend(const Scope& scope, const AttentionInput& in) const = 0;

 protected:
  const AttentionConfig config_;
  const AttentionSizes sizes_;
};

}  // namespace synthesizer
