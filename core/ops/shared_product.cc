#include "core/ops/shared_product.h"

#include "core/base/error.h"
#include "core/ops/contract.h"

namespace synthesizer {
namespace {

struct Dims {
  Dim batch, query, key, heads, head;
};

// Checks A and V, and names their dims.
Dims infer_dims(std::string_view op, std::span<const ValueType> inputs) {
  const ValueType &weights = inputs[0], &values = inputs[1];
  expect_floating(op, "values", values);
  expect_type(op, "weights", weights, {compute_type(values.dtype), weights.shape});
  if (weights.shape.rank() != 3)
    fail("[{}] weights: got {}, expected [heads, length, memory_length]", op, describe(weights));
  const Dim &heads = weights.shape.dims()[0], &query = weights.shape.dims()[1], &key = weights.shape.dims()[2];
  const std::vector<Dim>& dims = values.shape.dims();
  if (dims.size() != 4 || dims[1] != key || dims[2] != heads)
    fail("[{}] values: got {}, expected [batch, {} {}, {} {}, head]", op, describe(values), key.name, key.size,
         heads.name, heads.size);
  return {dims[0], query, key, heads, dims[3]};
}

ValueType output_type(const Dims& d, DType dtype) { return {dtype, Shape{d.batch, d.query, d.heads, d.head}}; }

// As elsewhere, that of the whole product where half of it is left out.
int64_t product_flops(const Dims& d) {
  return 2 * d.heads.size * d.query.size * d.key.size * d.batch.size * d.head.size;
}

}  // namespace

// ---- SharedProduct

std::vector<ValueType> SharedProduct::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 2);
  return {output_type(infer_dims(name(), inputs), inputs[1].dtype)};
}

std::vector<Value> SharedProduct::gradient(const GradientContext& context) const {
  const Value dy = context.output_gradients[0];
  if (!dy || (!context.needed[0] && !context.needed[1])) return {{}, {}};
  const auto results =
      dy.graph().add(std::make_shared<SharedProductGradient>(causal_), {{context.inputs[0], context.inputs[1], dy}});
  return {context.needed[0] ? results[0] : Value(), context.needed[1] ? results[1] : Value()};
}

std::vector<PartitionRule> SharedProduct::partition(std::span<const ValueType> inputs,
                                                    std::span<const ValueType> outputs) const {
  const Dims d = infer_dims(name(), inputs);
  std::vector<PartitionRule> rules = {whole_rule(2, 1), split_rule(d.batch.name, inputs, outputs),
                                      split_rule(d.heads.name, inputs, outputs),
                                      split_rule(d.head.name, inputs, outputs)};
  for (const size_t i : {0, 1}) rules.push_back(partial_rule(Placement::partial_sum(), 2, {i}, 1, {0}));
  if (causal_) return rules;  // a part of the queries or keys does not know where the diagonal is
  rules.push_back(split_rule(d.query.name, inputs, outputs));
  PartitionRule keys = split_rule(d.key.name, inputs, outputs);
  keys.outputs[0] = Placement::partial_sum();
  rules.push_back(keys);
  return rules;
}

Cost SharedProduct::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {product_flops(infer_dims(name(), inputs)), total_bytes(inputs) + total_bytes(outputs)};
}

// ---- SharedProductGradient

std::vector<ValueType> SharedProductGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 3);
  expect_type(name(), "dY", inputs[2], output_type(infer_dims(name(), inputs), inputs[1].dtype));
  return {inputs[0], inputs[1]};
}

std::vector<PartitionRule> SharedProductGradient::partition(std::span<const ValueType> inputs,
                                                            std::span<const ValueType> outputs) const {
  const Dims d = infer_dims(name(), inputs);
  std::vector<PartitionRule> rules = {whole_rule(3, 2), split_rule(d.heads.name, inputs, outputs),
                                      partial_rule(Placement::partial_sum(), 3, {2}, 2, {0, 1})};
  const auto split = [&](const Dim& dim, size_t summed) {
    PartitionRule rule = split_rule(dim.name, inputs, outputs);
    rule.outputs[summed] = Placement::partial_sum();
    rules.push_back(rule);
  };
  split(d.batch, 0);
  split(d.head, 0);
  if (causal_) return rules;
  split(d.query, 1);
  rules.push_back(split_rule(d.key.name, inputs, outputs));
  return rules;
}

Cost SharedProductGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {2 * product_flops(infer_dims(name(), inputs)), total_bytes(inputs) + total_bytes(outputs)};
}

Value shared_product(Value weights, Value values, bool causal) {
  return weights.graph().add(std::make_shared<SharedProduct>(causal), {{weights, values}})[0];
}

}  // namespace synthesizer
