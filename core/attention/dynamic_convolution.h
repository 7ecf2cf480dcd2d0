// DynConv: dynamic convolution (Wu et al. 2019), LightConv with window weights that each position computes for itself.
#pragma once

#include "core/attention/standalone_attention.h"

namespace synthesizer {

class DynamicConvolution : public StandaloneAttention {
 public:
  using StandaloneAttention::StandaloneAttention;
  Value attend(const Scope& scope, const AttentionInput& in) const override;
};

}  // namespace synthesizer
