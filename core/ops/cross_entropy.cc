#include "core/ops/cross_entropy.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/contract.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace synthesizer {
namespace {

const Dim& vocabulary_of(const ValueType& x, const ValueType& table) {
  return table.shape.dims()[table.shape.dims()[0].name == x.shape.dims().back().name ? 1 : 0];
}

struct RowTypes {
  ValueType row;      // […]
  ValueType blocks;   // […, vocab]
  ValueType weights;  // […, vocab], of x's type
};

// x […, model], table [vocab, model] or [model, vocab], targets […].
RowTypes infer_rows(std::string_view op, std::span<const ValueType> inputs, const VocabularyPart& part) {
  const ValueType &x = inputs[0], &table = inputs[1], &targets = inputs[2];
  expect_floating(op, "x", x);
  const DType wide = compute_type(x.dtype);
  expect_type(op, "table", table, {wide, table.shape});
  if (x.shape.rank() == 0) fail("[{}] x: got {}, expected […, model]", op, describe(x));
  const std::string& model = x.shape.dims().back().name;
  if (table.shape.rank() != 2 || !table.shape.has(model))
    fail("[{}] table: got {}, expected two dimensions, one of them {}", op, describe(table), model);
  expect_same_sizes(op, x, table);
  const Shape rows = x.shape.without(model);
  expect_type(op, "targets", targets, {DType::kInt32, rows});
  const Dim vocab = vocabulary_of(x, table);
  if (rows.has(vocab.name)) fail("[{}] x: got {}, expected no {}", op, describe(x), vocab.name);
  if (part.blocks < 1 || vocab.size % part.blocks != 0)
    fail("[{}] blocks: got {}, expected a divisor of {} {}", op, part.blocks, vocab.name, vocab.size);
  std::vector<Dim> blocks = rows.dims();
  blocks.push_back({vocab.name, part.blocks});
  std::vector<Dim> words = rows.dims();
  words.push_back(vocab);
  return {{wide, rows}, {wide, Shape(std::move(blocks))}, {x.dtype, Shape(std::move(words))}};
}

// Of one product of all rows with the table; its padding is left out.
int64_t product_flops(std::span<const ValueType> inputs, const VocabularyPart& part) {
  return 2 * inputs[0].shape.elements() * part.words(vocabulary_of(inputs[0], inputs[1]).size);
}
int64_t logits(std::span<const ValueType> inputs, const VocabularyPart& part) {
  return inputs[2].shape.elements() * part.words(vocabulary_of(inputs[0], inputs[1]).size);
}

std::string text(const VocabularyPart& part, const CrossEntropyOptions& options) {
  return fmt::format("vocabulary {}{}, {} blocks{}{}", part.true_vocab,
                     part.first_word == 0 ? "" : fmt::format(" from {}", part.first_word), part.blocks,
                     options.mean ? ", mean" : "", options.kept ? ", kept" : "");
}

// What a rank has of it where the table is split; the part itself where it is not.
VocabularyPart local_part(const VocabularyPart& part, const PartitionRule& rule, const AxisIndex& axis,
                          std::span<const ValueType> inputs) {
  const Dim& vocab = vocabulary_of(inputs[0], inputs[1]);
  if (rule.inputs[1] != Placement::split(vocab.name)) return part;
  return {part.true_vocab, part.first_word + vocab.size / axis.size * axis.index, part.blocks / axis.size};
}

}  // namespace

int64_t VocabularyPart::words(int64_t size) const { return std::clamp<int64_t>(true_vocab - first_word, 0, size); }

// ---- LinearCrossEntropy

std::string LinearCrossEntropy::attributes() const { return text(part_, options_); }

std::vector<ValueType> LinearCrossEntropy::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 3);
  const RowTypes types = infer_rows(name(), inputs, part_);
  std::vector<ValueType> outputs{types.blocks, types.row, types.row, types.row};
  if (options_.kept) {
    const int64_t block = vocabulary_of(inputs[0], inputs[1]).size / part_.blocks;
    if (block > kMostKept) fail("[{}] kept: got blocks of {} words, expected at most {}", name(), block, kMostKept);
    outputs.push_back(types.weights);
  }
  return outputs;
}

std::vector<Value> LinearCrossEntropy::gradient(const GradientContext& context) const {
  std::vector<Value> gradients(3);
  if (!context.needed[0] && !context.needed[1]) return gradients;
  std::vector<Value> inputs(context.inputs.begin(), context.inputs.end());
  inputs.push_back(context.outputs[options_.kept ? 4 : 0]);
  for (size_t i = 0; i < (options_.mean ? 3u : 2u); ++i) {
    const Value d = context.output_gradients[i];
    inputs.push_back(d ? d : constant(inputs[0].graph(), context.outputs[i].dtype(), context.outputs[i].shape(), 0));
  }
  const auto op = std::make_shared<LinearCrossEntropyGradient>(part_, options_);
  const std::vector<Value> results = inputs[0].graph().add(op, inputs);
  for (size_t i = 0; i < 2; ++i)
    if (context.needed[i]) gradients[i] = results[i];
  return gradients;
}

std::vector<PartitionRule> LinearCrossEntropy::partition(std::span<const ValueType> inputs,
                                                         std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, inputs[1].shape.names());
  const Placement whole = Placement::whole(), words = Placement::split(vocabulary_of(inputs[0], inputs[1]).name);
  const Placement sum = Placement::partial_sum(), max = Placement::partial_max();
  PartitionRule split{{whole, words, whole}, {words, sum, sum, max}};
  if (options_.kept) split.outputs.push_back(words);
  rules.push_back(std::move(split));
  return rules;
}

std::shared_ptr<const Op> LinearCrossEntropy::localize(const PartitionRule& rule, const AxisIndex& axis,
                                                       std::span<const ValueType> inputs,
                                                       std::span<const ValueType>) const {
  return std::make_shared<LinearCrossEntropy>(local_part(part_, rule, axis, inputs), options_);
}

// The logits, and an element of them: the maximum, subtract, exp, the sum; the mean's sum; subtract and exp of a
// weight.
Cost LinearCrossEntropy::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {
      product_flops(inputs, part_) + (4 + (options_.mean ? 1 : 0) + (options_.kept ? 2 : 0)) * logits(inputs, part_),
      total_bytes(inputs) + total_bytes(outputs)};
}

// ---- LinearCrossEntropyGradient

std::string LinearCrossEntropyGradient::attributes() const { return text(part_, options_); }

std::vector<ValueType> LinearCrossEntropyGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, options_.mean ? 7 : 6);
  const RowTypes types = infer_rows(name(), inputs, part_);
  expect_type(name(), options_.kept ? "weights" : "log_z", inputs[3], options_.kept ? types.weights : types.blocks);
  expect_type(name(), "d_log_z", inputs[4], types.blocks);
  expect_type(name(), "d_target", inputs[5], types.row);
  if (options_.mean) expect_type(name(), "d_mean", inputs[6], types.row);
  return {inputs[0], inputs[1]};
}

std::vector<PartitionRule> LinearCrossEntropyGradient::partition(std::span<const ValueType> inputs,
                                                                 std::span<const ValueType> outputs) const {
  const Placement whole = Placement::whole(), sum = Placement::partial_sum();
  const Placement words = Placement::split(vocabulary_of(inputs[0], inputs[1]).name);
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, inputs[1].shape.names());
  for (PartitionRule& rule : rules)  // the table's gradient is a sum over the rows
    if (rule.inputs[0].kind == Placement::Kind::kSplit) rule.outputs[1] = sum;
  rules.push_back(options_.mean ? partial_rule(sum, 7, {4, 5, 6}, 2, {0, 1}) : partial_rule(sum, 6, {4, 5}, 2, {0, 1}));
  // Each rank has its words' part of dx, and its words of the table's gradient.
  PartitionRule split{{whole, words, whole, words, words, whole}, {sum, words}};
  if (options_.mean) split.inputs.push_back(whole);
  rules.push_back(std::move(split));
  return rules;
}

std::shared_ptr<const Op> LinearCrossEntropyGradient::localize(const PartitionRule& rule, const AxisIndex& axis,
                                                               std::span<const ValueType> inputs,
                                                               std::span<const ValueType>) const {
  return std::make_shared<LinearCrossEntropyGradient>(local_part(part_, rule, axis, inputs), options_);
}

// dx and dtable, and an element of the logits: multiply, and adding the mean's part; the logits again, with subtract
// and exp.
Cost LinearCrossEntropyGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  const int64_t product = product_flops(inputs, part_), words = logits(inputs, part_);
  const int64_t again = options_.kept ? 0 : product, each = (options_.kept ? 1 : 3) + (options_.mean ? 1 : 0);
  return {2 * product + each * words + again, total_bytes(inputs) + total_bytes(outputs), again};
}

// log Z = M + log Σ_blocks exp(log_z − M), M the largest logit.
CrossEntropy linear_cross_entropy(Value x, Value table, Value targets, int64_t true_vocab,
                                  const CrossEntropyOptions& options) {
  const std::string& model = x.shape().dims().back().name;
  CHECK(table.shape().rank() == 2 && table.shape().has(model),
        "[linear_cross_entropy] table: got {}, expected two "
        "dimensions, one of them {}",
        table.shape().to_string(), model);
  const Dim vocab = table.shape().without(model).dims()[0];
  const VocabularyPart part{true_vocab, 0, std::gcd(vocab.size, int64_t{kVocabularyParts})};
  if (true_vocab < 1 || true_vocab > vocab.size)
    fail("[linear_cross_entropy] true vocabulary: got {}, expected 1 to {}", true_vocab, vocab.size);
  CrossEntropyOptions possible = options;
  if (vocab.size / part.blocks > LinearCrossEntropy::kMostKept) possible.kept = false;
  const auto outputs = x.graph().add(std::make_shared<LinearCrossEntropy>(part, possible), {{x, table, targets}});
  const Value blocks = outputs[0], largest = outputs[3];
  return {largest + log(reduce_sum(exp(blocks - largest), {vocab.name})), outputs[1], outputs[2]};
}

}  // namespace synthesizer
