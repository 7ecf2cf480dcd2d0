#include <algorithm>
#include <cmath>
#include <limits>

#include "core/ops/cast.h"
#include "core/ops/elementwise.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

struct UnaryRow {
  UnaryFunction function;
  double low, high;
  std::vector<double> kinks;
  double (*value)(double x);
  double (*derivative)(double x);
};

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

const std::vector<UnaryRow> kUnary = {
    {UnaryFunction::kRelu, -2, 2, {0}, [](double x) { return x > 0 ? x : 0; }, [](double x) { return x > 0 ? 1. : 0; }},
    {UnaryFunction::kExp, -3, 3, {}, [](double x) { return std::exp(x); }, [](double x) { return std::exp(x); }},
    {UnaryFunction::kLog, 0.1, 4, {}, [](double x) { return std::log(x); }, [](double x) { return 1 / x; }},
    {UnaryFunction::kSqrt,
     0.1,
     4,
     {},
     [](double x) { return std::sqrt(x); },
     [](double x) { return 0.5 / std::sqrt(x); }},
    {UnaryFunction::kRsqrt,
     0.1,
     4,
     {},
     [](double x) { return 1 / std::sqrt(x); },
     [](double x) { return -0.5 / (x * std::sqrt(x)); }},
    {UnaryFunction::kSquare, -3, 3, {}, [](double x) { return x * x; }, [](double x) { return 2 * x; }},
    {UnaryFunction::kReciprocal, 0.5, 3, {}, [](double x) { return 1 / x; }, [](double x) { return -1 / (x * x); }},
    {UnaryFunction::kSigmoid, -6, 6, {}, logistic, [](double x) { return logistic(x) * (1 - logistic(x)); }},
    {UnaryFunction::kTanh,
     -4,
     4,
     {},
     [](double x) { return std::tanh(x); },
     [](double x) { return 1 - std::tanh(x) * std::tanh(x); }},
};

const Shape kOdd{kBatch(1), kLength(31), kModel(33)};
const Shape kEven{kBatch(4), kLength(4), kHeads(8)};

Tensor map(const Tensor& x, const std::function<double(double)>& f) {
  Tensor y = x;
  std::transform(x.data.begin(), x.data.end(), y.data.begin(), f);
  return y;
}

OpCase unary_row(const UnaryRow& row, const Shape& shape, bool all_rules) {
  OpCase c;
  c.op = to_string(row.function);
  c.label = all_rules ? "even" : "odd";
  c.inputs = {{"x", shape, row.low, row.high, DType::kFloat64, row.kinks}};
  c.build = [f = row.function](Graph& g, In in, DType) {
    return std::vector{g.add_one(std::make_shared<Unary>(f), in)};
  };
  c.reference = [f = row.value](const auto& in) { return std::vector{map(in[0], f)}; };
  c.flops = shape.elements();
  c.all_rules = all_rules;
  return c;
}

OpCase unary_gradient_row(const UnaryRow& row, const Shape& shape, bool all_rules) {
  OpCase c;
  c.op = "unary_gradient";
  c.label = std::string(to_string(row.function)) + (all_rules ? "_even" : "_odd");
  c.inputs = {{"saved", shape, row.low, row.high, DType::kFloat64, row.kinks}, {"dy", shape}};
  if (UnaryGradient::uses_output(row.function))
    c.adjust = [f = row.value](std::vector<Tensor>& in) {
      in[0] = map(in[0], [f](double x) { return static_cast<float>(f(x)); });
    };
  c.build = [f = row.function](Graph& g, In in, DType) {
    return std::vector{g.add_one(std::make_shared<UnaryGradient>(f), in)};
  };
  // The values that `saved` was made of are drawn again: the same numbers.
  c.reference = [row, c](const auto& in) {
    OpCase plain = c;
    plain.adjust = {};
    const Tensor x = case_inputs(plain)[0];
    Tensor dx = in[1];
    for (size_t e = 0; e < dx.data.size(); ++e) dx.data[e] *= row.derivative(x.data[e]);
    return std::vector{dx};
  };
  c.has_gradient = false;
  c.tolerance64 = c.tolerance32 = 1e-5;  // `saved` was rounded to float32
  c.all_rules = all_rules;
  return c;
}

OpCase affine_row(double scale, double shift, bool all_rules) {
  OpCase c;
  c.op = "affine";
  c.label = all_rules ? "scale" : "shift";
  c.inputs = {{"x", all_rules ? kEven : kOdd}};
  c.build = [=](Graph&, In in, DType) { return std::vector{affine(in[0], scale, shift)}; };
  c.reference = [=](const auto& in) { return std::vector{map(in[0], [=](double x) { return scale * x + shift; })}; };
  c.all_rules = all_rules;
  return c;
}

OpCase is_finite_row(const Shape& shape, bool all_rules) {
  OpCase c;
  c.op = "is_finite";
  c.label = all_rules ? "even" : "odd";
  c.inputs = {{"x", shape}};
  c.adjust = [](std::vector<Tensor>& in) {
    const double infinity = std::numeric_limits<double>::infinity();
    in[0].data[1] = infinity;
    in[0].data[2] = -infinity;
    in[0].data[7] = std::numeric_limits<double>::quiet_NaN();
  };
  c.build = [](Graph&, In in, DType) { return std::vector{is_finite(in[0])}; };
  c.reference = [](const auto& in) {
    return std::vector{map(in[0], [](double x) { return std::isfinite(x) ? 1.0 : 0.0; })};
  };
  c.has_gradient = false;
  c.all_rules = all_rules;
  return c;
}

OpCase cast_row(const Shape& shape, bool all_rules) {
  OpCase c;
  c.op = "cast";
  c.label = all_rules ? "even" : "odd";
  c.inputs = {{"x", shape, -3, 3, DType::kInt32}};
  c.build = [](Graph&, In in, DType dtype) { return std::vector{cast(in[0], dtype)}; };
  c.reference = [](const auto& in) { return std::vector{in[0]}; };
  c.has_gradient = false;
  c.flops = 0;
  c.all_rules = all_rules;
  return c;
}

// From the type under test to a wider one.
OpCase widening_row(const Shape& shape) {
  OpCase c;
  c.op = "cast";
  c.label = "wider";
  c.inputs = {{"x", shape, -3, 3}};
  c.build = [](Graph& g, In in, DType) { return std::vector{g.add_one(std::make_shared<Cast>(DType::kFloat64), in)}; };
  c.reference = [](const auto& in) { return std::vector{in[0]}; };
  c.flops = 0;
  return c;
}

struct BinaryRow {
  BinaryFunction function;
  double (*value)(double a, double b);
  bool has_gradient;
};

const std::vector<BinaryRow> kBinary = {
    {BinaryFunction::kAdd, [](double a, double b) { return a + b; }, true},
    {BinaryFunction::kSubtract, [](double a, double b) { return a - b; }, true},
    {BinaryFunction::kMultiply, [](double a, double b) { return a * b; }, true},
    {BinaryFunction::kDivide, [](double a, double b) { return a / b; }, true},
    {BinaryFunction::kMaximum, [](double a, double b) { return std::max(a, b); }, false},
    {BinaryFunction::kMinimum, [](double a, double b) { return std::min(a, b); }, false},
};

struct Operands {
  std::string label;
  Shape a, b, output;
  bool all_rules = false;
};

// How two shapes meet: the output's dims as elementwise.h gives them.
const std::vector<Operands> kOperands = {
    {"equal", kOdd, kOdd, kOdd},
    {"vector_last", kOdd, {kModel(33)}, kOdd},
    {"vector_first", {kLength(31)}, kOdd, kOdd},
    {"scalar", kOdd, {}, kOdd},
    {"scalars", {}, {}, {}},
    {"middle", {kBatch(3), kHeads(5), kLength(7)}, {kHeads(5)}, {kBatch(3), kHeads(5), kLength(7)}},
    {"permuted", {kLength(31), kModel(5)}, {kModel(5), kLength(31)}, {kLength(31), kModel(5)}},
    {"outer", {kLength(31), kModel(5)}, {kModel(5), kHeads(3)}, {kLength(31), kModel(5), kHeads(3)}},
    {"broadcast", {kBatch(4), kHeads(8)}, {kHeads(8), kLength(4)}, {kBatch(4), kHeads(8), kLength(4)}, true},
};

OpCase binary_row(const BinaryRow& row, const Operands& operands) {
  OpCase c;
  c.op = to_string(row.function);
  c.label = operands.label;
  const double low = row.function == BinaryFunction::kDivide ? 0.5 : -2;
  c.inputs = {{"a", operands.a, -2, 2}, {"b", operands.b, low, 2}};
  c.build = [f = row.function](Graph& g, In in, DType) {
    return std::vector{g.add_one(std::make_shared<Binary>(f), in)};
  };
  c.reference = [f = row.value, shape = operands.output](const auto& in) {
    return std::vector{tabulate(shape, [&](const Index& i) { return f(in[0](i), in[1](i)); })};
  };
  c.has_gradient = row.has_gradient;
  c.flops = operands.output.elements();
  c.all_rules = operands.all_rules;
  return c;
}

}  // namespace

std::vector<OpCase> elementwise_cases() {
  std::vector<OpCase> rows = {affine_row(0.75, 0, true),  affine_row(-1.5, 0.25, false), is_finite_row(kOdd, false),
                              is_finite_row(kEven, true), cast_row(kOdd, false),         cast_row(kEven, true),
                              widening_row(kOdd)};
  for (const UnaryRow& row : kUnary)
    for (const bool even : {false, true}) {
      rows.push_back(unary_row(row, even ? kEven : kOdd, even));
      rows.push_back(unary_gradient_row(row, even ? kEven : kOdd, even));
    }
  for (const BinaryRow& row : kBinary)
    for (const Operands& operands : kOperands) rows.push_back(binary_row(row, operands));
  return rows;
}

}  // namespace synthesizer
