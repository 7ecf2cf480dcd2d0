// DynConv: dynamic convolution (Wu et al. 2019), LightConv with window weights that each position computes for itself.
#pragma once

#include "core/attention/convolution_layers.h"
#include "core/ops/einsum.h"
#include "core/ops/shape.h"
#include "core/ops/softmax.h"

namespace synthesizer {

class DynamicConvolution : public StandaloneAttention {
 public:
  using StandaloneAttention::StandaloneAttention;

  Value attend(const Scope& scope, const AttentionInput& in) const override {
    // The heads as outputs: every head's weights are computed from the channels of all heads. Renamed to what they are,
    // a split of the heads makes partial sums of these outputs, and each rank takes its own heads' sums.
    const DimName conv_heads{"conv_heads"};
    const ConvolutionLayers layers{scope, config_, sizes_};
    const int64_t heads = layers.num_heads(), width = config_.filter_width;
    const Value u = layers.input(in);
    const Value weight =
        scope.parameter("conv.weight", {layers.heads(), layers.head(), conv_heads(heads), kWindow(width)},
                        glorot_uniform(sizes_.d_model, heads * width));
    const Value logits = rename(einsum(u, weight, {kHeads, kHead}), conv_heads, kHeads);
    const Value weights = scope.dropout(softmax(logits, kWindow));  // [batch, length, heads, window]
    return layers.output(layers.convolve(u, weights, in));
  }
};

}  // namespace synthesizer
