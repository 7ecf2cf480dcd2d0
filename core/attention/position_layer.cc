#include "core/attention/position_layer.h"

#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"

namespace synthesizer {
Term position_layer(Value hidden, Value weight, Value bias, const AttentionInput& in) {
  const Shape& with_heads = (hidden.shape().has(kHeads.name) ? hidden : weight).shape();
  const Dim heads = kHeads(with_heads.size(kHeads.name));
  const auto keys = [&](Value x) {
    return rename(weighted(broadcast(leading_keys(x, in), heads, 0), in), kMemoryPosition, kMemoryLength);
  };
  const Value weights = keys(weight);
  return Term({hidden, weights}, bias ? keys(bias) : Value{});
}

}  // namespace synthesizer
