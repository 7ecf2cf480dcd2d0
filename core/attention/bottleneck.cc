#include "core/attention/bottleneck.h"

#include <string>

#include "core/attention/convolution.h"
#include "core/attention/position_layer.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/window.h"

namespace synthesizer {
namespace {

const DimName kBottleneck{"bottleneck"};

// Both layers, the first from the dims `from`, which x has.
Value through_bottleneck(const Scope& scope, const std::string& prefix, Value x, std::vector<Dim> from,
                         const AttentionConfig& config, const AttentionSizes& sizes, const AttentionInput& in) {
  const Dim heads = kHeads(sizes.num_heads), inner = kBottleneck(config.bottleneck);
  const Dim positions = kMemoryPosition(config.max_length);
  const Shape inputs(from);
  from.insert(from.end(), {heads, inner});
  const Value w1 = scope.parameter(prefix + "w1", Shape(from), fan_in(inputs.elements()));
  const Value b1 = scope.parameter(prefix + "b1", {heads, inner}, zeros());
  const Value hidden = relu(einsum(x, w1, inputs.names()) + b1);
  const Value w2 = scope.parameter(prefix + "w2", {heads, inner, positions}, fan_in(config.bottleneck));
  return position_layer(hidden, w2, scope.parameter(prefix + "b2", {heads, positions}, zeros()), in);
}

}  // namespace

Value Bottleneck::alignment(const Scope& scope, const AttentionInput& in) const {
  return through_bottleneck(scope, "bottleneck.", in.x, {kModel(sizes_.d_model)}, config_, sizes_, in);
}

Value ConvBottleneck::alignment(const Scope& scope, const AttentionInput& in) const {
  const int64_t width = config_.filter_width;
  return through_bottleneck(scope, "convbottleneck.", windows(in, width), {kWindow(width), kModel(sizes_.d_model)},
                            config_, sizes_, in);
}

}  // namespace synthesizer
