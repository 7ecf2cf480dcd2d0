// D: S(X) = W₂ relu(W₁x + b₁) + b₂; equations 1 and 2 of the paper.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

class Dense : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;
  Value alignment(const Scope& scope, const AttentionInput& in) const override;
};

}  // namespace synthesizer
