#include "core/attention/dense.h"

#include "core/attention/dense_layers.h"
#include "core/attention/position_layer.h"

namespace synthesizer {

Value Dense::alignment(const Scope& scope, const AttentionInput& in) const {
  const DenseLayers layers{scope, config_, sizes_};
  const Value hidden = layers.hidden(in.x, "d.");
  const DenseLayers::Second second = layers.second("d.", "2", kMemoryPosition(config_.max_length));
  return position_layer(hidden, second.weight, second.bias, in);
}

}  // namespace synthesizer
