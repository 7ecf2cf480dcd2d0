#include "core/attention/dot_product.h"

#include <cmath>

#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"

namespace synthesizer {

Value DotProduct::alignment(const Scope& scope, const AttentionInput& in) const {
  const Shape projection{kModel(sizes_.d_model), kHeads(sizes_.num_heads), kHead(sizes_.d_head)};
  const int64_t query_scale = config_.scale ? sizes_.d_model : sizes_.d_model * sizes_.d_head;
  Value query_weight = weighted(scope.parameter("query.weight", projection, unit_normal(query_scale)), in);
  if (config_.scale) query_weight = query_weight * (1 / std::sqrt(static_cast<double>(sizes_.d_head)));
  const Value query = einsum(in.x, query_weight, {kModel});

  Value key = in.values;
  if (!config_.tie_key_value)
    key = einsum(in.memory, scope.parameter("key.weight", projection, unit_normal(sizes_.d_model)), {kModel});
  return einsum_to(query, key, {kBatch, kHeads, kLength, kMemoryLength});
}

}  // namespace synthesizer
