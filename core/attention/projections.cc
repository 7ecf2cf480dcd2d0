#include "core/attention/projections.h"

#include <cmath>

#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"

namespace synthesizer {
namespace {

Shape projection(const AttentionSizes& sizes) {
  return {kModel(sizes.d_model), kHeads(sizes.num_heads), kHead(sizes.d_head)};
}

}  // namespace

Value query_weight(const Scope& scope, const AttentionConfig& config, const AttentionSizes& sizes) {
  const int64_t inputs = config.scale ? sizes.d_model : sizes.d_model * sizes.d_head;
  return scope.parameter("query.weight", projection(sizes), unit_normal(inputs));
}

Value project_query(const Scope& scope, const AttentionConfig& config, const AttentionSizes& sizes,
                    const AttentionInput& in) {
  Value weight = weighted(query_weight(scope, config, sizes), in);
  if (config.scale) weight = weight * (1 / std::sqrt(static_cast<double>(sizes.d_head)));
  return einsum(in.x, weight, {kModel});
}

Value project_key(const Scope& scope, const AttentionConfig& config, const AttentionSizes& sizes,
                  const AttentionInput& in) {
  if (config.tie_key_value) return in.values;
  return einsum(in.memory, scope.parameter("key.weight", projection(sizes), unit_normal(sizes.d_model)), {kModel});
}

Value project_values(const Scope& scope, const AttentionSizes& sizes, Value memory) {
  return einsum(memory, scope.parameter("value.weight", projection(sizes), unit_normal(sizes.d_model)), {kModel});
}

Value join_heads(const Scope& scope, const AttentionSizes& sizes, Value y) {
  const Shape shape{kHeads(sizes.num_heads), kHead(sizes.d_head), kModel(sizes.d_model)};
  const Value weight = scope.parameter("output.weight", shape, unit_normal(sizes.num_heads * sizes.d_head));
  return einsum(y, weight, {kHeads, kHead});
}

Value drop_values(const Scope& scope, Value values) {
  return scope.context().dropout_broadcast ? scope.dropout(values, {kHead}) : values;
}

bool drops_weights(const Scope& scope) { return scope.drops() && !scope.context().dropout_broadcast; }

Value drop_weights(const Scope& scope, Value weights) {
  return drops_weights(scope) ? scope.dropout(weights, {}) : weights;
}

}  // namespace synthesizer
