// V: S(X) = (X Wq)(X Wk)ᵀ, Vaswani et al. 2017. T5 has no 1/sqrt(e) at run time: it is in the query's initial values.
#pragma once

#include "core/attention/projections.h"

namespace synthesizer {

class DotProduct : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;

  Term alignment(const Scope& scope, const AttentionInput& in) const override {
    const Value query = project_query(scope, config_, sizes_, in), key = project_key(scope, config_, sizes_, in);
    return Term({query, key});
  }
};

}  // namespace synthesizer
