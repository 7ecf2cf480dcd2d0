#include "core/attention/dynamic_convolution.h"

#include "core/attention/convolution_layers.h"
#include "core/ops/einsum.h"
#include "core/ops/shape.h"
#include "core/ops/softmax.h"
#include "core/ops/window.h"

namespace synthesizer {
namespace {

// The heads as outputs: every head's weights are computed from the channels of all heads. Renamed to what they are, a
// split of the heads makes partial sums of these outputs, and each rank takes its own heads' sums.
const DimName kConvHeads{"conv_heads"};

}  // namespace

Value DynamicConvolution::attend(const Scope& scope, const AttentionInput& in) const {
  const ConvolutionLayers layers{scope, config_, sizes_};
  const int64_t heads = layers.num_heads(), width = config_.filter_width;
  const Value u = layers.input(in);
  const Value weight =
      scope.parameter("conv.weight", {layers.heads(), layers.head(), kConvHeads(heads), kWindow(width)},
                      glorot_uniform(sizes_.d_model, heads * width));
  const Value logits = rename(einsum(u, weight, {kHeads, kHead}), kConvHeads, kHeads);
  const Value weights = scope.dropout(softmax(logits, kWindow));  // [batch, length, heads, window]
  return layers.output(window(u, weights, layers.before(in)));
}

}  // namespace synthesizer
