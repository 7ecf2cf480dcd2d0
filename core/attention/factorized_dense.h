// FD: row j of S(X) = A[j div b]·B[j mod b] with A = Wa z + ba (a entries), B = Wb z + bb (b entries),
// z = relu(W₁x + b₁) and a·b = L; section 3 of the paper, every pair once.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

class FactorizedDense : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;
  Value alignment(const Scope& scope, const AttentionInput& in) const override;
};

// a: the configured one, else the divisor of max_length nearest to its root from above.
// Throws UsageError if a does not divide max_length.
int64_t dense_factor(const AttentionConfig& config);

}  // namespace synthesizer
