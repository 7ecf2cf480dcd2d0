#include "core/ops/shared_attention.h"

#include "core/base/error.h"
#include "core/ops/contract.h"
#include "core/ops/shared_dims.h"

namespace synthesizer {
namespace {

enum Input { kLogits, kWeights, kValues, kMask, kY, kDivisor, kDy };

// Checks S, A, V and the mask, and names their dims.
SharedDims infer_dims(std::string_view op, std::span<const ValueType> inputs) {
  const SharedDims d(op, "logits", inputs[kLogits], inputs[kValues]);
  expect_type(op, "weights", inputs[kWeights], inputs[kLogits]);
  expect_type(op, "key mask", inputs[kMask], {DType::kInt32, Shape{d.batch, d.key}});
  return d;
}

std::vector<ValueType> output_types(const SharedDims& d, DType dtype) {
  return {{dtype, d.result()}, {compute_type(dtype), Shape{d.batch, d.query, d.heads}}};
}

// Of one product of the weights with the values of all examples, and the column of each that the divisor comes from.
int64_t product_flops(const SharedDims& d) {
  return 2 * d.heads.size * d.query.size * d.key.size * d.batch.size * (d.head.size + 1);
}

}  // namespace

// ---- SharedAttention

std::vector<ValueType> SharedAttention::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 4);
  return output_types(infer_dims(name(), inputs), inputs[kValues].dtype);
}

std::vector<Value> SharedAttention::gradient(const GradientContext& context) const {
  std::vector<Value> gradients(4);
  CHECK(!context.output_gradients[1],
        "[shared_attention {}] a gradient reaches the divisor, which only the gradient reads", context.name);
  const Value dy = context.output_gradients[0];
  if (!dy || (!context.needed[kLogits] && !context.needed[kValues])) return gradients;
  std::vector<Value> inputs(context.inputs.begin(), context.inputs.end());
  inputs.insert(inputs.end(), {context.outputs[0], context.outputs[1], dy});
  const auto results = dy.graph().add(std::make_shared<SharedAttentionGradient>(causal_), inputs);
  if (context.needed[kLogits]) gradients[kLogits] = results[0];
  if (context.needed[kValues]) gradients[kValues] = results[1];
  return gradients;
}

std::vector<PartitionRule> SharedAttention::partition(std::span<const ValueType> inputs,
                                                      std::span<const ValueType> outputs) const {
  const SharedDims d = infer_dims(name(), inputs);
  std::vector<PartitionRule> rules = {whole_rule(4, 2), split_rule(d.batch.name, inputs, outputs),
                                      split_rule(d.heads.name, inputs, outputs)};
  rules.push_back(partial_rule(Placement::partial_sum(), 4, {kValues}, 2, {0}));
  return rules;
}

// The product, and the division.
Cost SharedAttention::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  const SharedDims d = infer_dims(name(), inputs);
  return {product_flops(d) + outputs[0].shape.elements(), total_bytes(inputs) + total_bytes(outputs)};
}

// ---- SharedAttentionGradient

std::vector<ValueType> SharedAttentionGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 7);
  const std::vector<ValueType> forward = output_types(infer_dims(name(), inputs), inputs[kValues].dtype);
  expect_type(name(), "Y", inputs[kY], forward[0]);
  expect_type(name(), "divisor", inputs[kDivisor], forward[1]);
  expect_type(name(), "dY", inputs[kDy], forward[0]);
  return {inputs[kLogits], inputs[kValues]};
}

std::vector<PartitionRule> SharedAttentionGradient::partition(std::span<const ValueType> inputs,
                                                              std::span<const ValueType> outputs) const {
  const SharedDims d = infer_dims(name(), inputs);
  PartitionRule batch = split_rule(d.batch.name, inputs, outputs);
  batch.outputs[0] = Placement::partial_sum();  // dS sums over the examples
  std::vector<PartitionRule> rules = {whole_rule(7, 2), batch, split_rule(d.heads.name, inputs, outputs)};
  rules.push_back(partial_rule(Placement::partial_sum(), 7, {kDy}, 2, {0, 1}));
  return rules;
}

// Two products: dY·Vᵀ, and Aᵀ·dY; an element of dY: Σ dY·Y and the division; of S: times A.
Cost SharedAttentionGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  const SharedDims d = infer_dims(name(), inputs);
  return {2 * product_flops(d) + 3 * inputs[kY].shape.elements() + inputs[kLogits].shape.elements(),
          total_bytes(inputs) + total_bytes(outputs)};
}

Value shared_attention(Value logits, Value weights, Value values, Value key_mask, bool causal) {
  return logits.graph().add(std::make_shared<SharedAttention>(causal), {{logits, weights, values, key_mask}})[0];
}

}  // namespace synthesizer
