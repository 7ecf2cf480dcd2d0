#include "core/optim/optimizer.h"

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/optim/adafactor.h"

namespace synthesizer {
namespace {

// min(1, clip / norm); no value without clipping.
Value clip_scale(Value norm, double clip) {
  if (clip == 0) return {};
  const Value limit = constant(norm.graph(), norm.dtype(), {}, clip);
  return limit / maximum(norm, limit);
}

void add_adamw(Value parameter, Value gradient, Value learning_rate, Value scale, Value step, Value apply,
               const OptimizerConfig& config) {
  Graph& graph = parameter.graph();
  const std::string& name = parameter.node().name;
  const Value first = state(graph, name + ".adam.first", parameter.dtype(), parameter.shape(), {});
  const Value second = state(graph, name + ".adam.second", parameter.dtype(), parameter.shape(), {});
  const ScopedName inner(graph, name);
  const AdamWState updated =
      adamw(parameter, first, second, gradient, learning_rate, scale, step, apply, config.adamw, !config.in_parts);
  if (config.in_parts) assign(parameter, updated.parameter, apply);
}

}  // namespace

UpdateResult add_update(Graph& graph, std::span<const Value> parameters, std::span<const Value> gradients, Value loss,
                        Value step, const OptimizerConfig& config) {
  CHECK(parameters.size() == gradients.size() && !parameters.empty(), "{} gradients for {} parameters",
        gradients.size(), parameters.size());
  const bool adafactor = config.kind == OptimizerKind::kAdafactor;
  const DType dtype = loss.dtype();
  const ScopedName scope(graph, "update");
  std::vector<SquaredSums> sums;
  Value squared_norm;
  for (size_t i = 0; i < gradients.size(); ++i) {
    const Value gradient = gradients[i];
    const ScopedName inner(graph, parameters[i].node().name);
    sums.push_back(adafactor ? squared_sums(gradient, config.adafactor)
                             : SquaredSums{{}, {}, {}, sum_squares(gradient)});
  }
  for (const SquaredSums& of : sums) squared_norm = squared_norm ? squared_norm + of.total : of.total;
  UpdateResult result;
  result.gradient_norm = sqrt(squared_norm);
  result.finite = is_finite(squared_norm) * is_finite(loss);
  const Value learning_rate = input(graph, kLearningRate, dtype, {});
  const Value scale = clip_scale(result.gradient_norm, config.clip_norm);
  if (!adafactor) {
    const Value one = constant(graph, dtype, {}, 1.0);
    for (size_t i = 0; i < parameters.size(); ++i)
      add_adamw(parameters[i], gradients[i], learning_rate, scale ? scale : one, step, result.finite, config);
    return result;
  }
  const AdafactorStep shared{learning_rate, input(graph, kSecondMomentDecay, dtype, {}), result.finite, scale};
  for (size_t i = 0; i < parameters.size(); ++i) {
    const ScopedName inner(graph, parameters[i].node().name);
    add_adafactor(parameters[i], gradients[i], sums[i], shared, config.adafactor);
  }
  return result;
}

}  // namespace synthesizer
