#include "core/model/encoder_classifier.h"

#include "core/graph/leaf.h"
#include "core/model/output.h"
#include "core/model/stack.h"
#include "core/ops/cast.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"
#include "core/ops/softmax.h"

namespace synthesizer {
namespace {

// x [batch, length, model] to [batch, model]: the mean over the positions that `mask` [batch, memory_length] has 1 for.
// 0 where there is none. It is the attention of one query to which all keys are alike.
Value mean_of_live(Value x, Value mask) {
  if (!mask) return reduce_mean(x, {kLength});
  const Value alike = constant(x.graph(), x.dtype(), mask.shape(), 0);
  return einsum(rename(x, kLength, kMemoryLength), softmax(alike, kMemoryLength, {}, mask), {kMemoryLength});
}

// x [batch, model] with one more element, a 1: what a bias is multiplied with when it is a row of the weight.
Value with_one(Value x) {
  const int64_t width = x.shape().size(kModel.name);
  const Value one = pad(constant(x.graph(), x.dtype(), {kModel(1)}, 1), kModel, width, 0);
  return pad(x, kModel, 0, 1) + one;
}

// The weight with the bias as its last row: the loss makes its logits in one product, blocks of columns at a time.
Value classifier_table(const Scope& scope, const ModelConfig& config) {
  const Scope block(scope, "classifier");
  const Dim model = kModel(config.d_model), classes = kClasses(config.num_classes);
  const Value weight = block.parameter("weight", {model, classes}, fan_in(config.d_model));
  const Value bias = split(block.parameter("bias", {classes}, zeros()), kClasses, {kModel(1), classes});
  return pad(weight, kModel, 0, 1) + pad(bias, kModel, config.d_model, 0);
}

}  // namespace

ModelOutputs encode_classify(const Scope& scope, const ModelConfig& config, Value table, const ModelInputs& in,
                             const LossConfig& loss, const ModelOptions& options) {
  Value encoded;
  {
    const Scope encoder(scope, "encoder");
    const StackInput source{.x = embedding(table, in.inputs, scope.residual()), .key_mask = in.input_mask};
    // A few examples decide: what is left after the stack is too little to save on.
    encoded = cast(stack(encoder, config, config.encoder, config.encoder_layers, source), scope.dtype());
  }
  const Value x = with_one(mean_of_live(encoded, in.input_mask)), classes = classifier_table(scope, config);
  ModelOutputs out;
  if (options.loss)
    add_loss(out, classes, x, config.num_classes, in, {.z_loss = 0, .label_smoothing = loss.label_smoothing}, options);
  if (options.logits) out.logits = einsum(x, classes, {kModel});
  return out;
}

}  // namespace synthesizer
