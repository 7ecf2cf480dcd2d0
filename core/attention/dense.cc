#include "core/attention/dense.h"

#include "core/attention/dense_layers.h"

namespace synthesizer {

Value Dense::alignment(const Scope& scope, const AttentionInput& in) const {
  const DenseLayers layers{scope, config_, sizes_};
  const Value hidden = layers.hidden(in.x, "d.");
  // W₂ is cut before the product: positions that the batch has not are not computed.
  DenseLayers::Second second = layers.second("d.", "2", kMemoryPosition(config_.max_length));
  for (Value* value : {&second.weight, &second.bias})
    if (*value) *value = weighted(leading(*value, kMemoryPosition, kMemoryLength, in.memory_length()), in);
  return DenseLayers::apply(hidden, second, kMemoryLength);
}

}  // namespace synthesizer
