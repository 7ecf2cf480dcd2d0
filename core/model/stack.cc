#include "core/model/stack.h"

#include "core/base/error.h"
#include "core/ops/embedding.h"

namespace synthesizer {
namespace {

// The bias is made once a stack: [heads, length, memory_length].
Value shared_bias(const Scope& scope, const ModelConfig& config, int64_t length, bool causal) {
  const Value table = scope.parameter("relative_bias", {kBuckets(config.num_buckets), kHeads(config.num_heads)},
                                      glorot_uniform(config.num_heads, config.num_buckets));
  return relative_bias(
      table,
      {.length = length, .memory_length = length, .bidirectional = !causal, .max_distance = config.max_distance});
}

}  // namespace

Value stack(const Scope& scope, const ModelConfig& config, const AttentionConfig& attention, int64_t layers,
            const StackInput& in) {
  AttentionTerms terms{.bias = {}, .key_mask = in.key_mask, .causal = in.causal};
  if (config.relative_bias) terms.bias = shared_bias(scope, config, in.x.shape().size(kLength.name), in.causal);
  Value x = scope.dropout(in.x);
  for (int64_t i = 0; i < layers; ++i) {
    const Scope layer(scope, fmt::format("layers.{}", i));
    x = self_attention_block(layer, config, attention, x, terms);
    if (in.memory) x = cross_attention_block(layer, config, attention.scale, x, in.memory, in.memory_mask);
    x = feed_forward_block(layer, config, x);
  }
  return scope.dropout(normalize(scope, config, "final_norm", x));
}

}  // namespace synthesizer
