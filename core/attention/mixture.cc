#include "core/attention/mixture.h"

#include "core/base/error.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"
#include "core/ops/softmax.h"

namespace synthesizer {

std::vector<Value> mixture_weights(const Scope& scope, const AttentionConfig& config, int64_t heads, size_t parts) {
  std::vector<Value> weights(parts);
  if (parts == 1 || config.mixture == Mixture::kSum) return weights;
  const auto alpha = [&](size_t entries) {
    std::vector<Dim> dims = {kParts(static_cast<int64_t>(entries))};
    if (config.mixture_scope == MixtureScope::kHead) dims.push_back(kHeads(heads));
    return scope.parameter("mixture.alpha", Shape(dims), zeros());
  };
  if (config.mixture == Mixture::kSigmoid) {
    if (parts != 2) fail_usage("[attention] mixture sigmoid: got {} parts, expected exactly 2", parts);
    const Value first = sigmoid(reduce_sum(alpha(1), {kParts}));
    return {first, affine(first, -1, 1)};
  }
  const Value all = softmax(alpha(parts), kParts);
  for (size_t i = 0; i < parts; ++i) weights[i] = reduce_sum(slice(all, kParts, static_cast<int64_t>(i), 1), {kParts});
  return weights;
}

}  // namespace synthesizer
