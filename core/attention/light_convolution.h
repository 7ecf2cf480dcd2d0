// LightConv: lightweight convolution (Wu et al. 2019), a depthwise window whose weights, softmax-normalised, the
// channels of a head share, the same at every position.
#pragma once

#include "core/attention/convolution_layers.h"
#include "core/ops/softmax.h"

namespace synthesizer {

class LightConvolution : public StandaloneAttention {
 public:
  using StandaloneAttention::StandaloneAttention;

  Value attend(const Scope& scope, const AttentionInput& in) const override {
    const ConvolutionLayers layers{scope, config_, sizes_};
    const int64_t width = config_.filter_width;
    // Drawn as fairseq does: Glorot over a filter of one input channel, for each head.
    const Value logits = scope.parameter("conv.weight", {layers.heads(), kWindow(width)},
                                         glorot_uniform(width, layers.num_heads() * width));
    const Value weights = scope.dropout(softmax(logits, kWindow), {});  // one mask for all positions and examples
    return layers.output(layers.convolve(layers.input(in), weights, in));
  }
};

}  // namespace synthesizer
