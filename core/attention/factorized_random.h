// FR: S(X) = R₁R₂ᵀ with R₁, R₂ of k columns a head; equation 5 of the paper.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

class FactorizedRandom : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;
  Value alignment(const Scope& scope, const AttentionInput& in) const override;
};

}  // namespace synthesizer
