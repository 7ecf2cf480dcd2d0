// The weights of a mixture's parts: Σ αᵢ Sᵢ(X), section 3 of the paper.
#pragma once

#include <vector>

#include "core/attention/config.h"
#include "core/attention/scope.h"

namespace synthesizer {

// One scalar a part, from the parameter mixture.alpha of the scope (zeros at first: equal weights); no values where the
// parts are only summed, or where there is but one. Throws UsageError for a sigmoid of other than two parts.
std::vector<Value> mixture_weights(const Scope& scope, Mixture mixture, size_t parts);

}  // namespace synthesizer
