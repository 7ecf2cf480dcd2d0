// Functions of one element of each input, broadcast by name. The functions themselves, value and derivative side by
// side, are in core/ops/functors.h, shared by all devices.
#pragma once

#include "core/graph/graph.h"
#include "core/ops/functors.h"

namespace synthesizer {

std::string_view to_string(UnaryFunction function);

// y = f(x).
class Unary : public Op {
 public:
  Unary(UnaryFunction function, double scale = 1, double shift = 0)
      : function_(function), scale_(scale), shift_(shift) {}
  UnaryFunction function() const { return function_; }
  double scale() const { return scale_; }  // of kAffine
  double shift() const { return shift_; }

  std::string_view name() const override { return to_string(function_); }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, Alias::Kind::kInPlace}}; }

 private:
  UnaryFunction function_;
  double scale_, shift_;
};

// dx = dy · f'(x, y). Inputs (saved, dy) where `saved` is y for functions whose derivative is one of y alone
// (uses_output(): relu, exp, sqrt, rsqrt, reciprocal, sigmoid, tanh), else x. Linear in dy.
class UnaryGradient : public Op {
 public:
  explicit UnaryGradient(UnaryFunction function) : function_(function) {}
  UnaryFunction function() const { return function_; }
  static bool uses_output(UnaryFunction function);

  std::string_view name() const override { return "unary_gradient"; }
  std::string attributes() const override { return std::string(to_string(function_)); }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override { return {{0, 1, Alias::Kind::kInPlace}}; }

 private:
  UnaryFunction function_;
};

std::string_view to_string(BinaryFunction function);

// y = f(a, b), broadcast by name. Output dims: those of the input with more dims (the first on a tie), in its order,
// then the other's missing ones. kMaximum and kMinimum have no gradient.
class Binary : public Op {
 public:
  explicit Binary(BinaryFunction function) : function_(function) {}
  BinaryFunction function() const { return function_; }

  std::string_view name() const override { return to_string(function_); }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  // In place on an input of the output's shape and order; the memory plan checks that shapes are equal.
  std::vector<Alias> aliases() const override { return {{0, 0, Alias::Kind::kInPlace}, {0, 1, Alias::Kind::kInPlace}}; }

 private:
  BinaryFunction function_;
};

Value unary(Value x, UnaryFunction function, double scale = 1, double shift = 0);
// Where one is in bf16 and one in f32, in bf16 (meet() in core/ops/cast.h).
Value binary(Value a, Value b, BinaryFunction function);

inline Value affine(Value x, double scale, double shift) { return unary(x, UnaryFunction::kAffine, scale, shift); }
inline Value relu(Value x) { return unary(x, UnaryFunction::kRelu); }
inline Value exp(Value x) { return unary(x, UnaryFunction::kExp); }
inline Value log(Value x) { return unary(x, UnaryFunction::kLog); }
inline Value sqrt(Value x) { return unary(x, UnaryFunction::kSqrt); }
inline Value rsqrt(Value x) { return unary(x, UnaryFunction::kRsqrt); }
inline Value square(Value x) { return unary(x, UnaryFunction::kSquare); }
inline Value reciprocal(Value x) { return unary(x, UnaryFunction::kReciprocal); }
inline Value sigmoid(Value x) { return unary(x, UnaryFunction::kSigmoid); }
inline Value tanh(Value x) { return unary(x, UnaryFunction::kTanh); }
inline Value is_finite(Value x) { return unary(x, UnaryFunction::kIsFinite); }
inline Value maximum(Value a, Value b) { return binary(a, b, BinaryFunction::kMaximum); }
inline Value minimum(Value a, Value b) { return binary(a, b, BinaryFunction::kMinimum); }
inline Value operator+(Value a, Value b) { return binary(a, b, BinaryFunction::kAdd); }
inline Value operator-(Value a, Value b) { return binary(a, b, BinaryFunction::kSubtract); }
inline Value operator*(Value a, Value b) { return binary(a, b, BinaryFunction::kMultiply); }
inline Value operator/(Value a, Value b) { return binary(a, b, BinaryFunction::kDivide); }
inline Value operator*(Value x, double scale) { return affine(x, scale, 0); }
inline Value operator+(Value x, double shift) { return affine(x, 1, shift); }

// The sum of `gradient` over the dims that `like` has not, in the order and of the type of `like`: the gradient of a
// broadcast.
Value unbroadcast(Value gradient, const ValueType& like);

}  // namespace synthesizer
