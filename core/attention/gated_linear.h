// GLU: S(X) = W₂((xW + b) ⊙ σ(xV + c)) + b₂, a gated linear unit (Dauphin et al. 2017) in the
// place of the relu of Dense; appendix A.2 of the paper.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

class GatedLinear : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;
  Value alignment(const Scope& scope, const AttentionInput& in) const override;
};

}  // namespace synthesizer
