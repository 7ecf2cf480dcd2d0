#include "core/ops/shape.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/ops/contract.h"

namespace synthesizer {
namespace {

std::string list(const std::vector<Dim>& dims) { return Shape(dims).to_string(); }

// Moving elements is linear, and keeps a maximum too.
void add_partial(std::vector<PartitionRule>& rules, size_t inputs) {
  rules.push_back(partial_rule(Placement::partial_sum(), inputs, {0}, 1, {0}));
  rules.push_back(partial_rule(Placement::partial_max(), inputs, {0}, 1, {0}));
}

// The same dims under other names, one by one.
bool renames(const std::vector<Dim>& from, const std::vector<Dim>& to) {
  return std::equal(from.begin(), from.end(), to.begin(), to.end(),
                    [](const Dim& a, const Dim& b) { return a.size == b.size; });
}

void resize(std::vector<Dim>& dims, const Placement& placement, int ranks) {
  for (Dim& dim : dims)
    if (placement.kind == Placement::Kind::kSplit && dim.name == placement.dim) dim.size /= ranks;
}

}  // namespace

// ---- Reshape

std::string Reshape::attributes() const { return fmt::format("{} to {}", list(from_), list(to_)); }

std::vector<ValueType> Reshape::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  const std::vector<Dim>& dims = inputs[0].shape.dims();
  const auto at = std::search(dims.begin(), dims.end(), from_.begin(), from_.end());
  if (at == dims.end() || from_.empty())
    fail("[reshape] input: got {}, expected {} side by side in it", describe(inputs[0]), list(from_));
  if (Shape(from_).elements() != Shape(to_).elements())
    fail("[reshape] number of elements: got {}, expected those of {}", list(to_), list(from_));
  std::vector<Dim> result(dims.begin(), at);
  result.insert(result.end(), to_.begin(), to_.end());
  result.insert(result.end(), at + static_cast<std::ptrdiff_t>(from_.size()), dims.end());
  return {{inputs[0].dtype, Shape(std::move(result))}};
}

std::vector<Value> Reshape::gradient(const GradientContext& context) const {
  if (!context.needed[0]) return {Value()};
  const Value dy = context.output_gradients[0];
  return {dy.graph().add_one(std::make_shared<Reshape>(to_, from_), {{dy}})};
}

std::vector<PartitionRule> Reshape::partition(std::span<const ValueType> inputs, std::span<const ValueType>) const {
  std::vector<PartitionRule> rules = {whole_rule(1, 1)};
  for (const Dim& dim : inputs[0].shape.dims()) {
    const auto at = std::find(from_.begin(), from_.end(), dim);
    if (at == from_.end())
      rules.push_back({{Placement::split(dim.name)}, {Placement::split(dim.name)}});
    else if (renames(from_, to_))
      rules.push_back(
          {{Placement::split(dim.name)}, {Placement::split(to_[static_cast<size_t>(at - from_.begin())].name)}});
  }
  add_partial(rules, 1);
  return rules;
}

std::shared_ptr<const Op> Reshape::localize(const PartitionRule& rule, const AxisIndex& axis,
                                            std::span<const ValueType>, std::span<const ValueType>) const {
  std::vector<Dim> from = from_, to = to_;
  resize(from, rule.inputs[0], axis.size);
  resize(to, rule.outputs[0], axis.size);
  return std::make_shared<Reshape>(std::move(from), std::move(to));
}

// ---- Slice

std::string Slice::attributes() const { return fmt::format("{} {} from {}", dim_, size_, begin_); }

std::vector<ValueType> Slice::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  expect_dim(name(), "input", inputs[0], dim_);
  if (begin_ < 0 || size_ < 1 || begin_ + size_ > inputs[0].shape.size(dim_))
    fail("[slice] {}: got elements {} to {}, expected them within {}", dim_, begin_, begin_ + size_,
         describe(inputs[0]));
  return {{inputs[0].dtype, inputs[0].shape.with_size(dim_, size_)}};
}

std::vector<Value> Slice::gradient(const GradientContext& context) const {
  if (!context.needed[0]) return {Value()};
  return {pad(context.output_gradients[0], dim_, begin_, context.inputs[0].shape().size(dim_) - begin_ - size_)};
}

std::vector<PartitionRule> Slice::partition(std::span<const ValueType> inputs,
                                            std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, {dim_});
  add_partial(rules, 1);
  return rules;
}

// ---- Pad

std::string Pad::attributes() const { return fmt::format("{} {} before {} after", dim_, before_, after_); }

std::vector<ValueType> Pad::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  expect_dim(name(), "input", inputs[0], dim_);
  if (before_ < 0 || after_ < 0)
    fail("[pad] {}: got {} before and {} after, expected at least 0", dim_, before_, after_);
  const int64_t size = before_ + inputs[0].shape.size(dim_) + after_;
  return {{inputs[0].dtype, inputs[0].shape.with_size(dim_, size)}};
}

std::vector<Value> Pad::gradient(const GradientContext& context) const {
  if (!context.needed[0]) return {Value()};
  return {slice(context.output_gradients[0], dim_, before_, context.inputs[0].shape().size(dim_))};
}

std::vector<PartitionRule> Pad::partition(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, {dim_});
  add_partial(rules, 1);
  return rules;
}

// ---- SliceAt

std::vector<ValueType> SliceAt::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 2);
  expect_dim(name(), "input", inputs[0], dim_);
  expect_type(name(), "position", inputs[1], {DType::kInt64, {}});
  return {{inputs[0].dtype, inputs[0].shape.without(dim_)}};
}

std::vector<PartitionRule> SliceAt::partition(std::span<const ValueType> inputs,
                                              std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, {dim_});
  add_partial(rules, 2);
  return rules;
}

// ---- builders

Value rename(Value x, const std::string& from, const std::string& to) {
  expect_dim("rename", "input", x.type(), from);
  const int64_t size = x.shape().size(from);
  return x.graph().add_one(std::make_shared<Reshape>(std::vector{Dim{from, size}}, std::vector{Dim{to, size}}), {{x}});
}

Value merge(Value x, const DimNames& from, const std::string& to) {
  std::vector<Dim> dims;
  for (const std::string& dim : from) {
    expect_dim("merge", "input", x.type(), dim);
    dims.push_back({dim, x.shape().size(dim)});
  }
  const int64_t size = Shape(dims).elements();
  return x.graph().add_one(std::make_shared<Reshape>(std::move(dims), std::vector{Dim{to, size}}), {{x}});
}

Value split(Value x, const std::string& from, const std::vector<Dim>& to) {
  expect_dim("split", "input", x.type(), from);
  return x.graph().add_one(std::make_shared<Reshape>(std::vector{Dim{from, x.shape().size(from)}}, to), {{x}});
}

Value slice(Value x, const std::string& dim, int64_t begin, int64_t size) {
  return x.graph().add_one(std::make_shared<Slice>(dim, begin, size), {{x}});
}

Value pad(Value x, const std::string& dim, int64_t before, int64_t after) {
  return x.graph().add_one(std::make_shared<Pad>(dim, before, after), {{x}});
}

Value slice_at(Value x, const std::string& dim, Value position) {
  return x.graph().add_one(std::make_shared<SliceAt>(dim), {{x, position}});
}

Value truncate(Value x, const std::string& position, const std::string& length, int64_t size) {
  expect_dim("truncate", "input", x.type(), position);
  const int64_t most = x.shape().size(position);
  if (size > most)
    fail_usage("[truncate] {} {}: got {} elements, expected at most {}, the maximum length of the model", x.node().name,
               length, size, most);
  return rename(size == most ? x : slice(x, position, 0, size), position, length);
}

}  // namespace synthesizer
