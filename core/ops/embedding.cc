#include "core/ops/embedding.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/contract.h"

namespace synthesizer {
namespace {

// A rank's first row where `dim`, of `size` rows, is split.
int64_t local_first_row(int64_t first_row, const Placement& placement, const std::string& dim, int64_t size,
                        const AxisIndex& axis) {
  if (placement != Placement::split(dim)) return first_row;
  return first_row + size / axis.size * axis.index;
}

}  // namespace

// ---- Embedding

std::string Embedding::attributes() const {
  return fmt::format("{}{}", first_row_ == 0 ? "" : fmt::format("from row {}", first_row_), narrow_ ? ", narrow" : "");
}

std::vector<ValueType> Embedding::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 2);
  const ValueType &table = inputs[0], &ids = inputs[1];
  expect_floating(name(), "table", table);
  if (narrow_ && table.dtype != DType::kFloat32) fail("[embedding] table: got {}, expected f32", describe(table));
  if (table.shape.rank() != 2) fail("[embedding] table: got {}, expected [vocab, model]", describe(table));
  if (ids.dtype != DType::kInt32) fail("[embedding] ids: got {}, expected i32", describe(ids));
  const Dim& model = table.shape.dims()[1];
  if (ids.shape.has(model.name)) fail("[embedding] ids: got {}, expected no {}", describe(ids), model.name);
  std::vector<Dim> dims = ids.shape.dims();
  dims.push_back(model);
  return {{narrow_ ? DType::kBFloat16 : table.dtype, Shape(std::move(dims))}};
}

std::vector<Value> Embedding::gradient(const GradientContext& context) const {
  if (!context.needed[0]) return {Value(), Value()};
  const Dim vocab = context.inputs[0].shape().dims()[0];
  const Value dy = context.output_gradients[0];
  const auto op = std::make_shared<EmbeddingGradient>(vocab, first_row_, false);
  return {dy.graph().add_one(op, {{context.inputs[1], dy}}), Value()};
}

std::vector<PartitionRule> Embedding::partition(std::span<const ValueType> inputs,
                                                std::span<const ValueType> outputs) const {
  const std::string& vocab = inputs[0].shape.dims()[0].name;
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, {vocab});
  // A row that another rank has counts 0 here.
  rules.push_back({{Placement::split(vocab), Placement::whole()}, {Placement::partial_sum()}});
  rules.push_back(partial_rule(Placement::partial_sum(), 2, {0}, 1, {0}));
  return rules;
}

std::shared_ptr<const Op> Embedding::localize(const PartitionRule& rule, const AxisIndex& axis,
                                              std::span<const ValueType> inputs, std::span<const ValueType>) const {
  const Dim& vocab = inputs[0].shape.dims()[0];
  return std::make_shared<Embedding>(local_first_row(first_row_, rule.inputs[0], vocab.name, vocab.size, axis),
                                     narrow_);
}

Cost Embedding::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {0, inputs[1].bytes() + 2 * outputs[0].bytes()};
}

// ---- EmbeddingGradient

std::string EmbeddingGradient::attributes() const {
  return fmt::format("{} {}{}{}", vocab_.name, vocab_.size,
                     first_row_ == 0 ? "" : fmt::format(" from row {}", first_row_), has_base_ ? ", onto a base" : "");
}

std::vector<ValueType> EmbeddingGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, has_base_ ? 3 : 2);
  const ValueType &ids = inputs[0], &dy = inputs[1];
  expect_floating(name(), "dy", dy);
  if (ids.dtype != DType::kInt32) fail("[embedding_gradient] ids: got {}, expected i32", describe(ids));
  const std::vector<Dim>&rows = ids.shape.dims(), &dims = dy.shape.dims();
  if (dims.size() != rows.size() + 1 || !std::equal(rows.begin(), rows.end(), dims.begin()))
    fail("[embedding_gradient] dy: got {}, expected the dimensions of the ids {} and one more", describe(dy),
         describe(ids));
  const ValueType output{compute_type(dy.dtype), Shape{vocab_, dims.back()}};
  if (has_base_) expect_type(name(), "base", inputs[2], output);
  return {output};
}

std::vector<PartitionRule> EmbeddingGradient::partition(std::span<const ValueType> inputs,
                                                        std::span<const ValueType> outputs) const {
  const Placement sum = Placement::partial_sum();
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  for (PartitionRule& rule : rules)
    if (rule.inputs[0].kind == Placement::Kind::kSplit) {  // each rank adds its own ids' rows, and its part of the base
      rule.outputs[0] = sum;
      if (has_base_) rule.inputs[2] = sum;
    }
  rules.push_back(has_base_ ? partial_rule(sum, 3, {1, 2}, 1, {0}) : partial_rule(sum, 2, {1}, 1, {0}));
  return rules;
}

std::shared_ptr<const Op> EmbeddingGradient::localize(const PartitionRule& rule, const AxisIndex& axis,
                                                      std::span<const ValueType>, std::span<const ValueType>) const {
  const Placement& placement = rule.outputs[0];
  Dim vocab = vocab_;
  if (placement == Placement::split(vocab_.name)) vocab.size /= axis.size;
  return std::make_shared<EmbeddingGradient>(
      vocab, local_first_row(first_row_, placement, vocab_.name, vocab_.size, axis), has_base_);
}

Cost EmbeddingGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  const ValueType& dy = inputs[1];
  return {dy.shape.elements(), inputs[0].bytes() + 3 * dy.bytes() + (has_base_ ? 0 : outputs[0].bytes())};
}

std::vector<Alias> EmbeddingGradient::aliases() const {
  if (!has_base_) return {};
  return {{0, 2, Alias::Kind::kInPlace}};
}

Value embedding(Value table, Value ids) { return embedding(table, ids, table.dtype()); }

Value embedding(Value table, Value ids, DType to) {
  const bool narrow = to == DType::kBFloat16;
  CHECK(narrow || to == table.dtype(), "[embedding] rows of {} as {}", to_string(table.dtype()), to_string(to));
  return table.graph().add_one(std::make_shared<Embedding>(0, narrow), {{table, ids}});
}

}  // namespace synthesizer
