// LightConv: lightweight convolution (Wu et al. 2019), a depthwise window whose weights, softmax-normalised, the
// channels of a head share, the same at every position.
#pragma once

#include "core/attention/standalone_attention.h"

namespace synthesizer {

class LightConvolution : public StandaloneAttention {
 public:
  using StandaloneAttention::StandaloneAttention;
  Value attend(const Scope& scope, const AttentionInput& in) const override;
};

}  // namespace synthesizer
