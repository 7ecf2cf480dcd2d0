#include "core/model/stack.h"

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"

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

// A layer of index `i`. A universal stack has one: each application goes by its own node names, from which dropout
// draws its mask, and begins by adding its vector of step_embedding [steps, model], drawn as large as the embedding.
Value apply_layer(const Scope& scope, const ModelConfig& config, const AttentionConfig& attention, int64_t layers,
                  int64_t i, const StackInput& in, const AttentionTerms& terms, Value x) {
  std::optional<ScopedName> application;
  if (config.universal) {
    application.emplace(scope.graph(), fmt::format("steps.{}", i));
    const Value steps = scope.parameter("step_embedding", {kSteps(layers), kModel(config.d_model)}, unit_normal(1));
    x = x + reduce_sum(slice(steps, kSteps, i, 1), {kSteps});
  }
  const Scope layer(scope, fmt::format("layers.{}", config.universal ? 0 : i));
  x = self_attention_block(layer, config, attention, x, terms);
  if (in.memory)
    x = cross_attention_block(layer, config, attention.scale, x, in.memory,
                              {.key_mask = in.memory_mask, .segments = in.segments});
  return feed_forward_block(layer, config, x);
}

}  // namespace

std::string alignment_output(std::string_view stack, int64_t layer) {
  return fmt::format("alignment.{}.layers.{}", stack, layer);
}

Value stack(const Scope& scope, const ModelConfig& config, const AttentionConfig& attention, int64_t layers,
            const StackInput& in) {
  AttentionTerms terms{
      .key_mask = in.key_mask, .segments = in.segments, .positions = in.positions, .causal = in.causal};
  if (in.segments) terms.key_mask = rename(in.segments, kLength, kMemoryLength);
  if (config.relative_bias) terms.bias = shared_bias(scope, config, in.x.shape().size(kLength.name), in.causal);
  Value x = scope.dropout(in.x);
  const std::vector<int64_t>& shown = scope.context().alignments;
  for (int64_t i = 0; i < layers; ++i) {
    terms.output = std::count(shown.begin(), shown.end(), i) > 0 ? alignment_output(scope.prefix(), i) : "";
    x = apply_layer(scope, config, attention, layers, i, in, terms, x);
  }
  return scope.dropout(normalize(scope, config, "final_norm", x, scope.residual()));
}

}  // namespace synthesizer
