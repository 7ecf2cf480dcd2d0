// The optimizer as graph nodes: from gradients to the update of the parameters, whole models at a time.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/ops/update.h"

namespace synthesizer {

enum class OptimizerKind { kAdamW, kAdafactor };

// Adafactor (Shazeer & Stern 2018) as T5 uses it: no first moment, decay 1 − (t+1)^exponent, the update's RMS clipped,
// the step relative to the parameter's RMS. Second moments are factored over a tensor's pair of large dims where both
// have at least `min_factored` elements; the pairs are declared in factored_pair().
struct AdafactorOptions {
  double decay_exponent = -0.8;
  double epsilon1 = 1e-30;  // added to squared gradients
  double epsilon2 = 1e-3;   // least RMS of a parameter
  double clip_threshold = 1.0;
  int64_t min_factored = 128;
};

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::kAdafactor;
  AdamWOptions adamw;
  AdafactorOptions adafactor;
  double clip_norm = 0;  // of all gradients together; 0: no clipping
  // New parameters are made before they are put in place, so that a rank can make a part of them (ZeRO).
  bool in_parts = false;
};

// The dims whose squares are averaged away for the column and for the row factor.
struct FactoredPair {
  DimNames rows, columns;
};
// (model | heads, head), (ff | model), (vocab | model), (position | memory_position): what of these a shape has, with
// at least `min_factored` elements on both sides. Empty: not factored.
FactoredPair factored_pair(const Shape& shape, int64_t min_factored);

// Scalar inputs of the update: written by the host before each step.
inline constexpr const char* kLearningRate = "learning_rate";
inline constexpr const char* kSecondMomentDecay = "second_moment_decay";  // of Adafactor

struct UpdateResult {
  Value gradient_norm;  // [], before clipping
  Value finite;         // [], 1 if loss and gradients are finite and the update was made, else 0
};

// Appends the update of each parameter by its gradient and the optimizer's state leaves ("NAME.adam.first", …). Nodes
// that are of one parameter alone are named "update.NAME/…".
// `step` is the i64 scalar input. A step whose loss or gradient is not finite changes nothing.
UpdateResult add_update(Graph& graph, std::span<const Value> parameters, std::span<const Value> gradients, Value loss,
                        Value step, const OptimizerConfig& config);

// What the host writes to kSecondMomentDecay for a step (0 for the first).
double second_moment_decay(const AdafactorOptions& options, int64_t step);

}  // namespace synthesizer
