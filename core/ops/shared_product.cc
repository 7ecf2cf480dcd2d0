#include "core/ops/shared_product.h"

#include "core/ops/contract.h"
#include "core/ops/shared_dims.h"

namespace synthesizer {
namespace {

SharedDims dims_of(std::string_view op, std::span<const ValueType> inputs) {
  return {op, "weights", inputs[0], inputs[1]};
}

// As elsewhere, that of the whole product where half of it is left out.
int64_t product_flops(const SharedDims& d) {
  return 2 * d.heads.size * d.query.size * d.key.size * d.batch.size * d.head.size;
}

}  // namespace

// ---- SharedProduct

std::vector<ValueType> SharedProduct::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 2);
  return {{inputs[1].dtype, dims_of(name(), inputs).result()}};
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
  const SharedDims d = dims_of(name(), inputs);
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
  return {product_flops(dims_of(name(), inputs)), total_bytes(inputs) + total_bytes(outputs)};
}

// ---- SharedProductGradient

std::vector<ValueType> SharedProductGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 3);
  expect_type(name(), "dY", inputs[2], {inputs[1].dtype, dims_of(name(), inputs).result()});
  return {inputs[0], inputs[1]};
}

std::vector<PartitionRule> SharedProductGradient::partition(std::span<const ValueType> inputs,
                                                            std::span<const ValueType> outputs) const {
  const SharedDims d = dims_of(name(), inputs);
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
  return {2 * product_flops(dims_of(name(), inputs)), total_bytes(inputs) + total_bytes(outputs)};
}

Value shared_product(Value weights, Value values, bool causal) {
  return weights.graph().add(std::make_shared<SharedProduct>(causal), {{weights, values}})[0];
}

}  // namespace synthesizer
