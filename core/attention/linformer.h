// Linformer (Wang et al. 2020): dot-product attention to k mixtures of the positions in place of the positions
// themselves. A mixture holds positions to come and of other documents, so it is of encoders only, whose rows are not
// packed; and a bias by position has no place in it.
#pragma once

#include <string>

#include "core/attention/projections.h"
#include "core/attention/standalone_attention.h"
#include "core/attention/windows.h"
#include "core/base/error.h"
#include "core/ops/einsum.h"
#include "core/ops/softmax.h"

namespace synthesizer {

class Linformer : public StandaloneAttention {
 public:
  using StandaloneAttention::StandaloneAttention;

  Value attend(const Scope& scope, const AttentionInput& in) const override {
    CHECK(!in.causal, "Linformer mixes positions: it cannot be causal");
    if (in.segments) fail_usage("[attention Linformer] it mixes positions: got packed rows, expected a document a row");
    AttentionInput own = in;
    own.memory = live(in.memory, in);  // padding has no part in a mixture
    own.values = project_values(scope, sizes_, own.memory);
    const Value query = project_query(scope, config_, sizes_, own), key = project_key(scope, config_, sizes_, own);

    const int64_t positions = config_.max_length, rank = config_.factor_rank;
    const auto mixed = [&](Value x, const std::string& name) {  // [batch, heads, rank, head]
      // Glorot with gain 1/sqrt(2), as fairseq draws it.
      const Value mixtures =
          scope.parameter("linformer." + name, {kHeads(sizes_.num_heads), kMemoryPosition(positions), kRank(rank)},
                          glorot_uniform(2 * positions, 2 * rank));
      return einsum_to(x, at_keys(mixtures, in), {kBatch, kHeads, kRank, kHead});
    };
    const Value keys = mixed(key, "key_projection");
    const Value values = drop_values(scope, mixed(own.values, "value_projection"));
    const Value weights = softmax(einsum_to(query, keys, {kBatch, kHeads, kLength, kRank}), kRank);
    return join_heads(scope, sizes_, einsum_to(drop_weights(scope, weights), values, {kBatch, kLength, kHeads, kHead}));
  }
};

}  // namespace synthesizer
