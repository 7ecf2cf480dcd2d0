#include "core/model/output.h"

#include <cmath>

#include "core/ops/cast.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"

namespace synthesizer {

// nll smoothed by s: log Z − (1 − s)·target − s·mean.
void add_loss(ModelOutputs& out, Value table, Value x, int64_t true_vocab, const ModelInputs& in,
              const LossConfig& loss, const ModelOptions& options) {
  const double s = loss.label_smoothing;
  const CrossEntropy entropy = linear_cross_entropy(x, table, in.targets, true_vocab, {s > 0, options.keep_logits});
  const Value nll = entropy.log_z - entropy.target;
  Value each = nll;
  if (s > 0) each = entropy.log_z - entropy.target * (1 - s) - entropy.mean * s;
  if (loss.z_loss > 0) each = each + square(entropy.log_z) * loss.z_loss;
  const DimNames all = in.weights.shape().names();
  out.loss = reduce_sum(each * in.weights, all) / in.denominator;
  out.nll = nll;
  out.nll_sum = reduce_sum(nll * in.weights, all);
  out.weight_sum = reduce_sum(in.weights, all);
}

ModelOutputs add_outputs(const Scope& scope, const ModelConfig& config, Value table, Value x, const ModelInputs& in,
                         const LossConfig& loss, const ModelOptions& options) {
  const Scope block(scope, "output");
  if (config.tie_output)
    x = x * (1 / std::sqrt(static_cast<double>(config.d_model)));
  else
    table = block.parameter("weight", {kModel(config.d_model), kVocab(config.rows())}, fan_in(config.d_model));
  ModelOutputs out;
  if (options.loss) add_loss(out, table, x, config.vocab, in, loss, options);
  if (options.logits) out.logits = cast(einsum(x, table, {kModel}), scope.dtype());
  if (options.next_logits)
    out.next_logits = cast(einsum(slice_at(x, kLength, in.position), table, {kModel}), scope.dtype());
  return out;
}

}  // namespace synthesizer
