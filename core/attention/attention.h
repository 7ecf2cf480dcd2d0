// The shell around the synthesizing functions: Y = softmax(Σ αᵢ Sᵢ(X) + bias + mask) G(X), heads joined by an output
// projection. It knows which terms the examples share and computes those once; it knows no function by name. What
// stands alone (standalone_attention.h) takes the place of all of it.
#pragma once

#include <string>

#include "core/attention/config.h"
#include "core/attention/scope.h"
#include "core/attention/synthesizing_function.h"

namespace synthesizer {

// What one attention of one layer is given besides its configuration.
struct AttentionTerms {
  // [heads, length, memory_length], added to the logits; or no value. Of the distance from query to key alone, so that
  // in a document it is what it is in a row.
  Value bias = {};
  Value key_mask = {};   // [batch, memory_length] i32, 0 where a key may not be seen; or no value
  Value segments = {};   // [batch, length] i32 of packed rows: a query sees the keys whose key_mask is its own number
  Value positions = {};  // [batch, length] i32 of packed rows: of tokens in their documents; no value: in their rows
  bool causal = false;
  std::string output = {};  // the alignment becomes the graph's output of this name; "": it does not
};

// x [batch, length, model] attends to itself; gives the same dims. Parameters under `scope`: those of the functions,
// value.weight [model, heads, head], output.weight [heads, head, model], and mixture.alpha. What stands alone has its
// own, and no use for the bias.
Value self_attention(const Scope& scope, const AttentionConfig& config, const AttentionSizes& sizes, Value x,
                     const AttentionTerms& terms);

// Dot-product attention of x [batch, length, model] to memory [batch, memory_length, model]; gives the dims of x.
// `scale` as in AttentionConfig.
Value cross_attention(const Scope& scope, const AttentionSizes& sizes, bool scale, Value x, Value memory,
                      const AttentionTerms& terms);

}  // namespace synthesizer
