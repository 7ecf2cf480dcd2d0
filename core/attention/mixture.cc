#include "core/attention/mixture.h"

#include "core/base/error.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"
#include "core/ops/softmax.h"

namespace synthesizer {

std::vector<Value> mixture_weights(const Scope& scope, Mixture mixture, size_t parts) {
  std::vector<Value> weights(parts);
  if (parts == 1 || mixture == Mixture::kSum) return weights;
  if (mixture == Mixture::kSigmoid) {
    if (parts != 2) fail_usage("[attention] mixture sigmoid: got {} parts, expected exactly 2", parts);
    const Value first = sigmoid(reduce_sum(scope.parameter("mixture.alpha", {kParts(1)}, zeros()), {kParts}));
    return {first, affine(first, -1, 1)};
  }
  const Value alpha = scope.parameter("mixture.alpha", {kParts(static_cast<int64_t>(parts))}, zeros());
  const Value all = softmax(alpha, kParts);
  for (size_t i = 0; i < parts; ++i) weights[i] = reduce_sum(slice(all, kParts, static_cast<int64_t>(i), 1), {kParts});
  return weights;
}

}  // namespace synthesizer
