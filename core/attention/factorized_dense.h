// FD: row j of S(X) = A[j div b]·B[j mod b] with A = Wa z + ba (a entries), B = Wb z + bb (b entries),
// z = relu(W₁x + b₁) and a·b = L; section 3 of the paper, every pair once.
#pragma once

#include <algorithm>

#include "core/attention/dense_layers.h"
#include "core/base/error.h"
#include "core/ops/shape.h"

namespace synthesizer {

class FactorizedDense : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;

  // a: the configured one, else the divisor of max_length nearest to its root from above.
  // Throws UsageError if a does not divide max_length.
  static int64_t first_factor(const AttentionConfig& config) {
    const int64_t positions = config.max_length;
    if (config.factor_a != 0) {
      if (config.factor_a < 0 || positions % config.factor_a != 0)
        fail_usage("[attention FD] factor_a: got {}, expected a divisor of max_length {}", config.factor_a, positions);
      return config.factor_a;
    }
    int64_t a = 1;
    while (a * a < positions || positions % a != 0) ++a;
    return a;
  }

  Term alignment(const Scope& scope, const AttentionInput& in) const override {
    check_length(in.memory_length(), config_.max_length);
    const int64_t a = first_factor(config_), b = config_.max_length / a;
    const DenseLayers layers{scope, config_, sizes_};
    const Value hidden = layers.hidden(in.x, "fd.");
    DenseLayers::Second first = layers.second("fd.", "a", kFactorA(a));
    const DenseLayers::Second second = layers.second("fd.", "b", kFactorB(b));
    // Only the entries of A that the batch's positions meet.
    const int64_t met = std::min(a, (in.memory_length() + b - 1) / b);
    for (Value* value : {&first.weight, &first.bias}) {
      if (!*value) continue;
      if (met < a) *value = slice(*value, kFactorA, 0, met);
      *value = weighted(*value, in);
    }
    return Term({DenseLayers::apply(hidden, first, kFactorA), DenseLayers::apply(hidden, second, kFactorB)});
  }
};

}  // namespace synthesizer
