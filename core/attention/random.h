// R: S(X) = R, a trained matrix a head; equation 3 of the paper. Fix, where it is not trained, is fixed_random.h.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

class Random : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;

  Term alignment(const Scope& scope, const AttentionInput& in) const override {
    const int64_t heads = sizes_.num_heads, positions = config_.max_length;
    const Value logits = scope.parameter("r.logits", {kHeads(heads), kPosition(positions), kMemoryPosition(positions)},
                                         random_alignment(config_.random_init, heads, positions));
    return weighted(at_keys(at_queries(logits, in), in), in);
  }
};

}  // namespace synthesizer
