#include "core/attention/light_convolution.h"

#include "core/attention/convolution_layers.h"
#include "core/ops/softmax.h"
#include "core/ops/window.h"

namespace synthesizer {

Value LightConvolution::attend(const Scope& scope, const AttentionInput& in) const {
  const ConvolutionLayers layers{scope, config_, sizes_};
  const int64_t width = config_.filter_width;
  // Drawn as fairseq does: Glorot over a filter of one input channel, for each head.
  const Value logits = scope.parameter("conv.weight", {layers.heads(), kWindow(width)},
                                       glorot_uniform(width, layers.num_heads() * width));
  const Value weights = scope.dropout(softmax(logits, kWindow), {});  // one mask for all positions and examples
  return layers.output(window(layers.input(in), weights, layers.before(in)));
}

}  // namespace synthesizer
