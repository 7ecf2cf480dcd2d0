#include "core/ops/elementwise.h"

#include <array>

#include "core/base/error.h"
#include "core/ops/cast.h"
#include "core/ops/contract.h"
#include "core/ops/reduce.h"

namespace synthesizer {
namespace {

struct Facts {
  std::string_view name;
  bool uses_output = false;
};

constexpr auto kUnary = [] {
  std::array<Facts, functors::kUnaryFunctions> facts{};
  size_t i = 0;
  functors::each_unary<functors::NoMath>([&]<typename F>() { facts[i++] = {F::kName, F::kUsesOutput}; });
  return facts;
}();
constexpr auto kBinary = [] {
  std::array<Facts, functors::kBinaryFunctions> facts{};
  size_t i = 0;
  functors::each_binary<functors::NoMath>([&]<typename F>() { facts[i++] = {F::kName}; });
  return facts;
}();

Cost one_each(std::span<const ValueType> inputs, std::span<const ValueType> outputs) {
  return {total_elements(outputs), total_bytes(inputs) + total_bytes(outputs)};
}

}  // namespace

std::string_view to_string(UnaryFunction function) { return kUnary.at(static_cast<size_t>(function)).name; }
std::string_view to_string(BinaryFunction function) { return kBinary.at(static_cast<size_t>(function)).name; }

// ---- Unary

std::string Unary::attributes() const {
  return function_ == UnaryFunction::kAffine ? fmt::format("{} x + {}", scale_, shift_) : "";
}

std::vector<ValueType> Unary::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 1);
  expect_floating(name(), "input", inputs[0]);
  return {inputs[0]};
}

std::vector<Value> Unary::gradient(const GradientContext& context) const {
  const Value dy = context.output_gradients[0];
  if (!context.needed[0]) return {Value()};
  if (function_ == UnaryFunction::kIsFinite) return Op::gradient(context);
  if (function_ == UnaryFunction::kAffine) return {scale_ == 1 ? dy : affine(dy, scale_, 0)};
  const Value saved = UnaryGradient::uses_output(function_) ? context.outputs[0] : context.inputs[0];
  return {dy.graph().add_one(std::make_shared<UnaryGradient>(function_), {{saved, dy}})};
}

std::vector<PartitionRule> Unary::partition(std::span<const ValueType> inputs,
                                            std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  if (function_ != UnaryFunction::kAffine) return rules;
  if (shift_ == 0) rules.push_back(partial_rule(Placement::partial_sum(), 1, {0}, 1, {0}));
  if (scale_ > 0) rules.push_back(partial_rule(Placement::partial_max(), 1, {0}, 1, {0}));
  return rules;
}

Cost Unary::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return one_each(inputs, outputs);
}

// ---- UnaryGradient

bool UnaryGradient::uses_output(UnaryFunction function) { return kUnary.at(static_cast<size_t>(function)).uses_output; }

std::vector<ValueType> UnaryGradient::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 2);
  expect_floating(name(), "what forward saved", inputs[0]);
  expect_type(name(), "dy", inputs[1], inputs[0]);
  return {inputs[0]};
}

std::vector<PartitionRule> UnaryGradient::partition(std::span<const ValueType> inputs,
                                                    std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  rules.push_back(partial_rule(Placement::partial_sum(), 2, {1}, 1, {0}));
  return rules;
}

Cost UnaryGradient::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return one_each(inputs, outputs);
}

// ---- Binary

std::vector<ValueType> Binary::infer(std::span<const ValueType> inputs) const {
  expect_count(name(), inputs, 2);
  expect_one_floating_type(name(), inputs);
  expect_same_sizes(name(), inputs[0], inputs[1]);
  const bool second = inputs[1].shape.rank() > inputs[0].shape.rank();
  std::vector<Dim> dims = inputs[second].shape.dims();
  for (const Dim& dim : inputs[!second].shape.dims())
    if (!inputs[second].shape.has(dim.name)) dims.push_back(dim);
  return {{inputs[0].dtype, Shape(std::move(dims))}};
}

std::vector<Value> Binary::gradient(const GradientContext& context) const {
  const Value a = context.inputs[0], b = context.inputs[1], dy = context.output_gradients[0];
  std::vector<Value> gradients(2);
  const bool to_a = context.needed[0], to_b = context.needed[1];
  switch (function_) {
    case BinaryFunction::kAdd:
      if (to_a) gradients[0] = unbroadcast(dy, a.type());
      if (to_b) gradients[1] = unbroadcast(dy, b.type());
      break;
    case BinaryFunction::kSubtract:
      if (to_a) gradients[0] = unbroadcast(dy, a.type());
      if (to_b) gradients[1] = affine(unbroadcast(dy, b.type()), -1, 0);
      break;
    case BinaryFunction::kMultiply:
      if (to_a) gradients[0] = unbroadcast(dy * b, a.type());
      if (to_b) gradients[1] = unbroadcast(dy * a, b.type());
      break;
    case BinaryFunction::kDivide:
      if (to_a) gradients[0] = unbroadcast(dy / b, a.type());
      if (to_b) gradients[1] = affine(unbroadcast(dy * context.outputs[0] / b, b.type()), -1, 0);
      break;
    case BinaryFunction::kMaximum:
    case BinaryFunction::kMinimum:
      return Op::gradient(context);
  }
  return gradients;
}

std::vector<PartitionRule> Binary::partition(std::span<const ValueType> inputs,
                                             std::span<const ValueType> outputs) const {
  std::vector<PartitionRule> rules = independent_rules(inputs, outputs);
  const Placement sum = Placement::partial_sum(), max = Placement::partial_max();
  switch (function_) {
    case BinaryFunction::kAdd:
      rules.push_back(partial_rule(sum, 2, {0, 1}, 1, {0}));
      rules.push_back(partial_rule(max, 2, {0}, 1, {0}));
      rules.push_back(partial_rule(max, 2, {1}, 1, {0}));
      break;
    case BinaryFunction::kSubtract:
      rules.push_back(partial_rule(sum, 2, {0, 1}, 1, {0}));
      rules.push_back(partial_rule(max, 2, {0}, 1, {0}));
      break;
    case BinaryFunction::kMultiply:
      rules.push_back(partial_rule(sum, 2, {0}, 1, {0}));
      rules.push_back(partial_rule(sum, 2, {1}, 1, {0}));
      break;
    case BinaryFunction::kDivide:
      rules.push_back(partial_rule(sum, 2, {0}, 1, {0}));
      break;
    case BinaryFunction::kMaximum:
      rules.push_back(partial_rule(max, 2, {0, 1}, 1, {0}));
      rules.push_back(partial_rule(max, 2, {0}, 1, {0}));
      rules.push_back(partial_rule(max, 2, {1}, 1, {0}));
      break;
    case BinaryFunction::kMinimum:
      rules.push_back(partial_rule(max, 2, {0}, 1, {0}));
      rules.push_back(partial_rule(max, 2, {1}, 1, {0}));
      break;
  }
  return rules;
}

Cost Binary::cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const {
  return one_each(inputs, outputs);
}

// ---- builders

Value unary(Value x, UnaryFunction function, double scale, double shift) {
  return x.graph().add_one(std::make_shared<Unary>(function, scale, shift), {{x}});
}

Value binary(Value a, Value b, BinaryFunction function) {
  const auto [x, y] = meet(a, b);
  return x.graph().add_one(std::make_shared<Binary>(function), {{x, y}});
}

Value unbroadcast(Value gradient, const ValueType& like) {
  DimNames over;
  for (const Dim& dim : gradient.shape().dims())
    if (!like.shape.has(dim.name)) over.push_back(dim.name);
  Value sum = gradient;
  if (!over.empty()) {
    const bool wide = like.dtype != gradient.dtype();
    sum = gradient.graph().add_one(std::make_shared<Reduce>(ReduceFunction::kSum, over, ReduceParts{}, wide),
                                   {{gradient}});
  }
  if (sum.shape() != like.shape) sum = broadcast(sum, like.shape);
  return cast(sum, like.dtype);
}

}  // namespace synthesizer
