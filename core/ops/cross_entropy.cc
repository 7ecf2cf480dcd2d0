#include "core/ops/cross_entropy.h"

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/contract.h"

namespace synthesizer {
namespace {

// x […, model], table [vocab, model] or [model, vocab], targets […]; gives the type of the outputs.
ValueType infer_rows(std::string_view op, std::span<const ValueType> inputs, int64_t true_vocab) {
  const ValueType &x = inputs[0], &table = inputs[1], &targets = inputs[2];
  expect_one_floating_type(op, inputs.first(2));
  if (x.shape.rank() == 0) fail("[{}] x: got {}, expected […, model]", op, describe(x));
  const std::string& model = x.shape.dims().back().name;
  if (table.shape.rank() != 2 || !table.shape.has(model))
    fail("[{}] table: got {}, expected two dimensions, one of them {}", op, describe(table), model);
  expect_same_sizes(op, x, table);
  const Shape rows = x.shape.without(model);
  expect_type(op, "targets", targets, {DType::kInt32, rows});
  const Dim vocab = table.shape.without(model).dims()[0];
  if (rows.has(vocab.name)) fail("[{}] x: got {}, expected no {}", op, describe(x), vocab.name);
  if (true_vocab < 1 || true_vocab > vocab.size)
    fail("[{}] true vocabulary: got {}, expected 1 to {}", op, true_vocab, vocab.size);
  return {x.dtype, rows};
}

// Of one product of all rows with the table; its padding is left out.
int64_t product_flops(std::span<const ValueType> inputs, int64_t true_vocab) {
  return 2 * inputs[0].shape.elements() * true_vocab;
}

std::string text(int64_t true_vocab, bool mean) {
  return fmt::format("vocabulary {}{}", true_vocab, mean ? ", mean" : "");
}

}  // namespace

// ---- LinearCrossEntropy

std::string LinearCrossEntropy::attributes() const { return text(true_vocab_, mean_); }

std::vector<ValueType> LinearCrossEntropy::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 3);
  return std::vector<ValueType>(3, infer_rows(name(), inputs, true_vocab_));
}

std::vector<Value> LinearCrossEntropy::gradient(const GradientContext& context) const {
  std::vector<Value> gradients(3);
  if (!context.needed[0] && !context.needed[1]) return gradients;
  std::vector<Value> inputs(context.inputs.begin(), context.inputs.end());
  inputs.push_back(context.outputs[0]);
  for (size_t i = 0; i < (mean_ ? 3u : 2u); ++i) {
    const Value d = context.output_gradients[i];
    inputs.push_back(d ? d : constant(inputs[0].graph(), inputs[0].dtype(), context.outputs[i].shape(), 0));
  }
  const auto op = std::make_shared<LinearCrossEntropyGradient>(true_vocab_, mean_);
  const std::vector<Value> results = inputs[0].graph().add(op, inputs);
  for (size_t i = 0; i < 2; ++i)
    if (context.needed[i]) gradients[i] = results[i];
  return gradients;
}

std::vector<PartitionRule> LinearCrossEntropy::partition(std::span<const ValueType> inputs,
                                                         std::span<const ValueType> outputs) const {
  return independent_rules(inputs, outputs, inputs[1].shape.names());
}

// The logits, and an element of them: the maximum, subtract, exp, the sum; and the mean's sum.
Cost LinearCrossEntropy::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  const int64_t logits = inputs[2].shape.elements() * true_vocab_;
  return {product_flops(inputs, true_vocab_) + (mean_ ? 5 : 4) * logits, total_bytes(inputs) + total_bytes(outputs)};
}

// ---- LinearCrossEntropyGradient

std::string LinearCrossEntropyGradient::attributes() const { return text(true_vocab_, mean_); }

std::vector<ValueType> LinearCrossEntropyGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, mean_ ? 7 : 6);
  const ValueType row = infer_rows(name(), inputs, true_vocab_);
  expect_type(name(), "log_z", inputs[3], row);
  expect_type(name(), "d_log_z", inputs[4], row);
  expect_type(name(), "d_target", inputs[5], row);
  if (mean_) expect_type(name(), "d_mean", inputs[6], row);
  return {inputs[0], inputs[1]};
}

std::vector<PartitionRule> LinearCrossEntropyGradient::partition(std::span<const ValueType> inputs,
                                                                 std::span<const ValueType> outputs) const {
  const Placement sum = Placement::partial_sum();
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, inputs[1].shape.names());
  for (PartitionRule& rule : rules)  // the table's gradient is a sum over the rows
    if (rule.inputs[0].kind == Placement::Kind::kSplit) rule.outputs[1] = sum;
  rules.push_back(mean_ ? partial_rule(sum, 7, {4, 5, 6}, 2, {0, 1}) : partial_rule(sum, 6, {4, 5}, 2, {0, 1}));
  return rules;
}

// The logits again, dx and dtable, and an element of the logits: subtract, exp, multiply; and adding the mean's part.
Cost LinearCrossEntropyGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  const int64_t logits = inputs[2].shape.elements() * true_vocab_;
  return {3 * product_flops(inputs, true_vocab_) + (mean_ ? 4 : 3) * logits,
          total_bytes(inputs) + total_bytes(outputs)};
}

CrossEntropy linear_cross_entropy(Value x, Value table, Value targets, int64_t true_vocab, bool mean) {
  const auto outputs = x.graph().add(std::make_shared<LinearCrossEntropy>(true_vocab, mean), {{x, table, targets}});
  return {outputs[0], outputs[1], outputs[2]};
}

}  // namespace synthesizer
