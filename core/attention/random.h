// R: S(X) = R, a trained matrix a head; equation 3 of the paper. Fix, where it is not trained, is fixed_random.h.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

class Random : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;
  Value alignment(const Scope& scope, const AttentionInput& in) const override;
};

}  // namespace synthesizer
