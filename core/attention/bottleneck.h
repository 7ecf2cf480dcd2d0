// Bottleneck: S(X) = W₂ relu(W₁x + b₁) + b₂ through a few units a head; ConvBottleneck: its first layer a convolution.
// Appendix A.2 of the paper.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

class Bottleneck : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;
  Value alignment(const Scope& scope, const AttentionInput& in) const override;
};

class ConvBottleneck : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;
  Value alignment(const Scope& scope, const AttentionInput& in) const override;
};

}  // namespace synthesizer
