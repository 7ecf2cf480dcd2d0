// The projections around an alignment, a matrix each: query, key, value, and the one that joins the heads; and dropout
// of what an alignment weighs.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

// The parameter query.weight, [model, heads, head].
Value query_weight(const Scope& scope, const AttentionConfig& config, const AttentionSizes& sizes);
// query.weight, times in.weight and 1/sqrt(e) as configured: [batch, length, heads, head].
Value project_query(const Scope& scope, const AttentionConfig& config, const AttentionSizes& sizes,
                    const AttentionInput& in);
// key.weight, or in.values where keys and values share a matrix: [batch, memory_length, heads, head].
Value project_key(const Scope& scope, const AttentionConfig& config, const AttentionSizes& sizes,
                  const AttentionInput& in);
// value.weight: [batch, memory_length, heads, head].
Value project_values(const Scope& scope, const AttentionSizes& sizes, Value memory);
// output.weight: y [batch, length, heads, head] to [batch, length, model].
Value join_heads(const Scope& scope, const AttentionSizes& sizes, Value y);

// Dropout of an alignment A. With a mask shared by the queries, as T5 has it, A·diag(m) V drops rows of V [batch, …,
// heads, head], so that an alignment shared by the examples stays shared; else the weights themselves are dropped.
Value drop_values(const Scope& scope, Value values);
bool drops_weights(const Scope& scope);
Value drop_weights(const Scope& scope, Value weights);

}  // namespace synthesizer
