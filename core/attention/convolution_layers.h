// The two layers around the windows of LightConv and DynConv (Wu et al. 2019): a gated linear unit in front, a linear
// layer behind. The heads here are the convolution's: groups of channels that share a window's weights.
#pragma once

#include "core/attention/standalone_attention.h"

namespace synthesizer {

struct ConvolutionLayers {
  const Scope& scope;
  const AttentionConfig& config;
  const AttentionSizes& sizes;

  int64_t num_heads() const { return config.conv_heads == 0 ? sizes.num_heads : config.conv_heads; }
  Dim heads() const { return kHeads(num_heads()); }
  Dim head() const { return kHead(sizes.d_model / num_heads()); }
  // x W ⊙ σ(x V), 0 at padding: [batch, length, heads, head]. Parameter in_proj.weight [model, halves, heads, head]: W
  // and V as two blocks, so that both split alike.
  Value input(const AttentionInput& in) const;
  // The depthwise window with these weights over u [batch, length, heads, head]; gives the same dims. `weights` as of
  // Window, for windows of config.filter_width.
  Value convolve(Value u, Value weights, const AttentionInput& in) const;
  // y [batch, length, heads, head] to [batch, length, model]. Parameter out_proj.weight [heads, head, model].
  Value output(Value y) const;
};

}  // namespace synthesizer
