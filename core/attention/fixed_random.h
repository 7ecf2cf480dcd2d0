// Fix: S(X) = R, drawn once and never trained; "Fixed Random" of the paper's tables.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

class FixedRandom : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;
  Value alignment(const Scope& scope, const AttentionInput& in) const override;
};

}  // namespace synthesizer
