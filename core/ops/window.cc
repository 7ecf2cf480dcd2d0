#include "core/ops/window.h"

#include "core/base/error.h"
#include "core/ops/cast.h"
#include "core/ops/contract.h"

namespace synthesizer {
namespace {

std::string text(const std::string& dim, const Dim& window, int64_t before) {
  return fmt::format("{} by {} {}, {} before", dim, window.name, window.size, before);
}

void expect_before(std::string_view op, int64_t before, int64_t window) {
  if (before < 0 || before >= window)
    fail("[{}] positions before: got {}, expected 0 to {} of a window of {}", op, before, window - 1, window);
}

// [batch, length, heads, head] and the two shapes that weights may have.
void expect_convolved(std::string_view op, const ValueType& u, const ValueType& weights, int64_t before) {
  expect_floating(op, "u", u);
  const std::vector<Dim>&dims = u.shape.dims(), &own = weights.shape.dims();
  const bool shared = own.size() == 2 && dims.size() == 4 && own[0] == dims[2];
  const bool each = own.size() == 4 && dims.size() == 4 && own[0] == dims[0] && own[1] == dims[1] && own[2] == dims[2];
  if (weights.dtype != u.dtype || !(shared || each) || u.shape.has(own.back().name))
    fail("[{}] weights: got {} of {}, expected [heads, window] or [batch, length, heads, window]", op,
         describe(weights), describe(u));
  expect_before(op, before, own.back().size);
}

}  // namespace

// ---- Unfold

std::string Unfold::attributes() const { return text(dim_, window_, before_); }

std::vector<ValueType> Unfold::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  expect_floating(name(), "input", inputs[0]);
  expect_dim(name(), "input", inputs[0], dim_);
  expect_before(name(), before_, window_.size);
  std::vector<Dim> dims = inputs[0].shape.dims();
  dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(inputs[0].shape.index(dim_)) + 1, window_);
  return {{inputs[0].dtype, Shape(std::move(dims))}};
}

std::vector<Value> Unfold::gradient(const GradientContext& context) const {
  if (!context.needed[0]) return {Value()};
  const Value dy = context.output_gradients[0];
  return {dy.graph().add_one(std::make_shared<Fold>(dim_, window_, before_), {{dy}})};
}

std::vector<PartitionRule> Unfold::partition(std::span<const ValueType> inputs,
                                             std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, {dim_, window_.name});
  rules.push_back(partial_rule(Placement::partial_sum(), 1, {0}, 1, {0}));
  return rules;
}

// ---- Fold

std::string Fold::attributes() const { return text(dim_, window_, before_); }

std::vector<ValueType> Fold::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  expect_floating(name(), "input", inputs[0]);
  expect_dim(name(), "input", inputs[0], dim_);
  expect_before(name(), before_, window_.size);
  const std::vector<Dim>& dims = inputs[0].shape.dims();
  const size_t at = inputs[0].shape.index(dim_) + 1;
  if (at >= dims.size() || dims[at] != window_)
    fail("[fold] input: got {}, expected {} {} behind {}", describe(inputs[0]), window_.name, window_.size, dim_);
  return {{inputs[0].dtype, inputs[0].shape.without(window_.name)}};
}

std::vector<Value> Fold::gradient(const GradientContext& context) const {
  if (!context.needed[0]) return {Value()};
  return {unfold(context.output_gradients[0], dim_, window_, before_)};
}

std::vector<PartitionRule> Fold::partition(std::span<const ValueType> inputs,
                                           std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs, {dim_, window_.name});
  rules.push_back(partial_rule(Placement::partial_sum(), 1, {0}, 1, {0}));
  return rules;
}

// Each element is added once.
Cost Fold::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {total_elements(inputs), total_bytes(inputs) + total_bytes(outputs)};
}

// ---- Window

std::string Window::attributes() const { return fmt::format("{} before", before_); }

std::vector<ValueType> Window::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 2);
  expect_convolved(name(), inputs[0], inputs[1], before_);
  return {inputs[0]};
}

std::vector<Value> Window::gradient(const GradientContext& context) const {
  std::vector<Value> gradients(2);
  if (!context.needed[0] && !context.needed[1]) return gradients;
  const Value dy = context.output_gradients[0];
  const std::vector<Value> results =
      dy.graph().add(std::make_shared<WindowGradient>(before_), {{context.inputs[0], context.inputs[1], dy}});
  for (size_t i = 0; i < 2; ++i)
    if (context.needed[i]) gradients[i] = results[i];
  return gradients;
}

std::vector<PartitionRule> Window::partition(std::span<const ValueType> inputs,
                                             std::span<const ValueType> outputs) const {
  const std::vector<Dim>& dims = inputs[0].shape.dims();
  std::vector<PartitionRule> rules =
      independent_rules(inputs, outputs, {dims[1].name, inputs[1].shape.dims().back().name});
  rules.push_back(partial_rule(Placement::partial_sum(), 2, {0}, 1, {0}));
  rules.push_back(partial_rule(Placement::partial_sum(), 2, {1}, 1, {0}));
  return rules;
}

// A multiply-add for each element and each place of the window, the padding's included.
Cost Window::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {2 * inputs[0].shape.elements() * inputs[1].shape.dims().back().size,
          total_bytes(inputs) + total_bytes(outputs)};
}

// ---- WindowGradient

std::string WindowGradient::attributes() const { return fmt::format("{} before", before_); }

std::vector<ValueType> WindowGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 3);
  expect_convolved(name(), inputs[0], inputs[1], before_);
  expect_type(name(), "dy", inputs[2], inputs[0]);
  return {inputs[0], inputs[1]};
}

std::vector<PartitionRule> WindowGradient::partition(std::span<const ValueType> inputs,
                                                     std::span<const ValueType> outputs) const {
  const std::vector<Dim>& dims = inputs[0].shape.dims();
  std::vector<PartitionRule> rules =
      independent_rules(inputs, outputs, {dims[1].name, inputs[1].shape.dims().back().name});
  for (PartitionRule& rule : rules)  // weights that what is split shares get a part of their gradient from each rank
    if (rule.inputs[0].kind == Placement::Kind::kSplit && rule.inputs[1].kind == Placement::Kind::kWhole)
      rule.outputs[1] = Placement::partial_sum();
  rules.push_back(partial_rule(Placement::partial_sum(), 3, {2}, 2, {0, 1}));
  return rules;
}

// Two products for each element and each place of the window.
Cost WindowGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return {4 * inputs[0].shape.elements() * inputs[1].shape.dims().back().size,
          total_bytes(inputs) + total_bytes(outputs)};
}

// ---- builders

int64_t window_before(int64_t width, bool causal) { return causal ? width - 1 : (width - 1) / 2; }

Value unfold(Value x, const std::string& dim, const Dim& window, int64_t before) {
  return x.graph().add_one(std::make_shared<Unfold>(dim, window, before), {{x}});
}

Value window(Value u, Value weights, int64_t before) {
  const auto [x, w] = meet(u, weights);
  return x.graph().add_one(std::make_shared<Window>(before), {{x, w}});
}

}  // namespace synthesizer
