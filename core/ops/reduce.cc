#include "core/ops/reduce.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/cast.h"
#include "core/ops/contract.h"
#include "core/ops/elementwise.h"

namespace synthesizer {
namespace {

Value reduce(Value x, ReduceFunction function, const DimNames& over) {
  return x.graph().add_one(std::make_shared<Reduce>(function, over), {{x}});
}

}  // namespace

std::string_view to_string(ReduceFunction function) {
  switch (function) {
    case ReduceFunction::kSum:
      return "reduce_sum";
    case ReduceFunction::kMax:
      return "reduce_max";
    case ReduceFunction::kSumSquares:
      return "sum_squares";
  }
  fail("unknown reduction {}", static_cast<int>(function));
}

// ---- Reduce

std::string Reduce::attributes() const {
  const std::string parts = parts_.dim.empty() ? "" : fmt::format(", in {} parts of {}", parts_.count, parts_.dim);
  return fmt::format("over {}{}{}", fmt::join(over_, " "), parts, wide_ ? ", wide" : "");
}

std::vector<ValueType> Reduce::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  expect_floating(name(), "input", inputs[0]);
  Shape shape = inputs[0].shape;
  for (const std::string& dim : over_) {
    expect_dim(name(), "input", {inputs[0].dtype, shape}, dim);
    shape = shape.without(dim);
  }
  if (!parts_.dim.empty() && (std::find(over_.begin(), over_.end(), parts_.dim) == over_.end() ||
                              inputs[0].shape.size(parts_.dim) % parts_.count != 0))
    fail("[{}] {} parts of {}: got {} over {}, expected a multiple that is reduced", name(), parts_.count, parts_.dim,
         describe(inputs[0]), fmt::join(over_, " "));
  return {{wide_ ? compute_type(inputs[0].dtype) : inputs[0].dtype, shape}};
}

std::vector<Value> Reduce::gradient(const GradientContext& context) const {
  const Value x = context.inputs[0];
  if (!context.needed[0]) return {Value()};
  const Value dy = cast(context.output_gradients[0], x.dtype());
  switch (function_) {
    case ReduceFunction::kSum:
      return {broadcast(dy, x.shape())};
    case ReduceFunction::kSumSquares:
      return {affine(x * dy, 2, 0)};
    case ReduceFunction::kMax:
      break;
  }
  return Op::gradient(context);
}

std::vector<PartitionRule> Reduce::partition(std::span<const ValueType> inputs,
                                             std::span<const ValueType> outputs) const {
  const bool max = function_ == ReduceFunction::kMax;
  const Placement partial = max ? Placement::partial_max() : Placement::partial_sum();
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  for (PartitionRule& rule : rules)
    if (rule.inputs[0].kind == Placement::Kind::kSplit && rule.outputs[0].kind == Placement::Kind::kWhole)
      rule.outputs[0] = partial;
  if (function_ != ReduceFunction::kSumSquares) rules.push_back(partial_rule(partial, 1, {0}, 1, {0}));
  return rules;
}

std::shared_ptr<const Op> Reduce::localize(const PartitionRule& rule, const AxisIndex& axis, std::span<const ValueType>,
                                           std::span<const ValueType>) const {
  if (parts_.dim.empty() || !(rule.inputs[0] == Placement::split(parts_.dim))) return nullptr;
  CHECK(parts_.count % axis.size == 0, "[{}] {} parts of {} on {} ranks", name(), parts_.count, parts_.dim, axis.size);
  return std::make_shared<Reduce>(function_, over_, ReduceParts{parts_.dim, parts_.count / axis.size}, wide_);
}

Cost Reduce::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  const int64_t operations = function_ == ReduceFunction::kSumSquares ? 2 : 1;
  return {operations * inputs[0].shape.elements(), total_bytes(inputs) + total_bytes(outputs)};
}

// ---- Broadcast

std::vector<ValueType> Broadcast::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  const ValueType output{inputs[0].dtype, output_};
  expect_floating(name(), "input", inputs[0]);
  for (const Dim& dim : inputs[0].shape.dims()) expect_dim(name(), "output", output, dim.name);
  expect_same_sizes(name(), inputs[0], output);
  return {output};
}

std::vector<Value> Broadcast::gradient(const GradientContext& context) const {
  if (!context.needed[0]) return {Value()};
  return {unbroadcast(context.output_gradients[0], context.inputs[0].type())};
}

std::vector<PartitionRule> Broadcast::partition(std::span<const ValueType> inputs,
                                                std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  rules.push_back(partial_rule(Placement::partial_sum(), 1, {0}, 1, {0}));
  rules.push_back(partial_rule(Placement::partial_max(), 1, {0}, 1, {0}));
  return rules;
}

std::shared_ptr<const Op> Broadcast::localize(const PartitionRule& rule, const AxisIndex& axis,
                                              std::span<const ValueType>, std::span<const ValueType>) const {
  return std::make_shared<Broadcast>(local_shape(output_, rule.outputs[0], axis));
}

// ---- builders

Value reduce_sum(Value x, const DimNames& over) { return reduce(x, ReduceFunction::kSum, over); }

Value reduce_mean(Value x, const DimNames& over) {
  int64_t count = 1;
  for (const std::string& dim : over) count *= x.shape().size(dim);
  return affine(reduce_sum(x, over), 1.0 / static_cast<double>(count), 0);
}

Value reduce_max(Value x, const DimNames& over) { return reduce(x, ReduceFunction::kMax, over); }

Value sum_squares(Value x, const DimNames& over) {
  return reduce(x, ReduceFunction::kSumSquares, over.empty() ? x.shape().names() : over);
}

Value broadcast(Value x, const Shape& output) { return x.graph().add_one(std::make_shared<Broadcast>(output), {{x}}); }

Value broadcast(Value x, const Dim& dim, size_t at) {
  if (x.shape().has(dim.name)) return x;
  std::vector<Dim> dims = x.shape().dims();
  dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(at), dim);
  return broadcast(x, Shape(std::move(dims)));
}

}  // namespace synthesizer
