#include "core/attention/convolution.h"

#include "core/attention/position_layer.h"
#include "core/ops/window.h"

namespace synthesizer {

Value windows(const AttentionInput& in, int64_t width) {
  return unfold(live(in.x, in), kLength, kWindow(width), window_before(width, in.causal));
}

Value Convolution::alignment(const Scope& scope, const AttentionInput& in) const {
  const int64_t width = config_.filter_width, d = sizes_.d_model;
  const Dim heads = kHeads(sizes_.num_heads), positions = kMemoryPosition(config_.max_length);
  const Value weight = scope.parameter("conv.w", {kWindow(width), kModel(d), heads, positions}, fan_in(width * d));
  return position_layer(windows(in, width), weight, scope.parameter("conv.b", {heads, positions}, zeros()), in);
}

}  // namespace synthesizer
