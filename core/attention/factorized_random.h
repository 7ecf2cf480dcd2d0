// FR: S(X) = R₁R₂ᵀ with R₁, R₂ of k columns a head; equation 5 of the paper.
#pragma once

#include "core/attention/synthesizing_function.h"
#include "core/ops/einsum.h"

namespace synthesizer {

class FactorizedRandom : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;

  Term alignment(const Scope& scope, const AttentionInput& in) const override {
    const int64_t heads = sizes_.num_heads, positions = config_.max_length, rank = config_.factor_rank;
    const Initializer initial = random_factor(config_.random_init, heads, positions, rank);
    const Value rows = scope.parameter("fr.rows", {kHeads(heads), kPosition(positions), kRank(rank)}, initial);
    const Value columns =
        scope.parameter("fr.columns", {kHeads(heads), kMemoryPosition(positions), kRank(rank)}, initial);
    return einsum_to(weighted(at_queries(rows, in), in), at_keys(columns, in), {kHeads, kLength, kMemoryLength});
  }
};

}  // namespace synthesizer
