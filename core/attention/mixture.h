// The weights of a mixture's parts: Σ αᵢ Sᵢ(X), section 3 of the paper.
#pragma once

#include <vector>

#include "core/attention/config.h"
#include "core/attention/scope.h"

namespace synthesizer {

// One weight a part, a scalar or (mixture_scope kHead) [heads], from the parameter mixture.alpha of the scope: [parts]
// or [parts, heads], zeros at first (equal weights). No values where the parts are only summed, or where there is but
// one. Throws UsageError for a sigmoid of other than two parts.
std::vector<Value> mixture_weights(const Scope& scope, const AttentionConfig& config, int64_t heads, size_t parts);

}  // namespace synthesizer
