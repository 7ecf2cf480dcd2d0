#include "core/attention/position_layer.h"

#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"

namespace synthesizer {

Value position_layer(Value hidden, Value weight, Value bias, const AttentionInput& in) {
  for (Value* value : {&weight, &bias})
    if (*value) *value = weighted(leading_keys(*value, in), in);
  const Value product = einsum_to(hidden, weight, {kBatch, kHeads, kLength, kMemoryPosition});
  return at_keys(bias ? product + bias : product, in);
}

}  // namespace synthesizer
