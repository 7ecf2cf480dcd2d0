#include <algorithm>
#include <limits>

#include "core/ops/reduce.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

Shape without(Shape shape, const DimNames& over) {
  for (const std::string& dim : over) shape = shape.without(dim);
  return shape;
}

OpCase reduce_row(ReduceFunction function, const std::string& label, const Shape& shape, const DimNames& over,
                  bool all_rules = false, const ReduceParts& parts = {}) {
  OpCase c;
  c.op = to_string(function);
  c.label = label;
  c.inputs = {{"x", shape, -2, 1}};
  c.build = [=](Graph& g, In in, DType) {
    return std::vector{g.add_one(std::make_shared<Reduce>(function, over, parts), in)};
  };
  c.reference = [=](const auto& in) {
    const bool max = function == ReduceFunction::kMax;
    Tensor y(without(shape, over), max ? -std::numeric_limits<double>::infinity() : 0);
    each(shape, [&](const Index& i) {
      const double x = in[0](i);
      y(i) = max ? std::max(y(i), x) : y(i) + (function == ReduceFunction::kSumSquares ? x * x : x);
    });
    return std::vector{y};
  };
  c.has_gradient = function != ReduceFunction::kMax;
  c.all_rules = all_rules;
  return c;
}

OpCase broadcast_row(const std::string& label, const Shape& from, const Shape& to, bool all_rules = false) {
  OpCase c;
  c.op = "broadcast";
  c.label = label;
  c.inputs = {{"x", from}};
  c.build = [=](Graph&, In in, DType) { return std::vector{broadcast(in[0], to)}; };
  c.reference = [=](const auto& in) { return std::vector{tabulate(to, [&](const Index& i) { return in[0](i); })}; };
  c.flops = 0;
  c.all_rules = all_rules;
  return c;
}

}  // namespace

std::vector<OpCase> reduce_cases() {
  const Shape odd{kBatch(3), kLength(31), kHeads(1), kModel(33)};
  std::vector<OpCase> rows;
  for (const ReduceFunction f : {ReduceFunction::kSum, ReduceFunction::kMax, ReduceFunction::kSumSquares}) {
    rows.push_back(reduce_row(f, "last", odd, {"model"}));
    rows.push_back(reduce_row(f, "parts", {kLength(31), kModel(36)}, {"model"}, false, {"model", 4}));
    rows.push_back(reduce_row(f, "parts_of_one", {kLength(31), kModel(4)}, {"length", "model"}, false, {"model", 4}));
    rows.push_back(reduce_row(f, "parts_of_all", {kLength(12), kModel(33)}, {"length", "model"}, false, {"length", 4}));
    rows.push_back(reduce_row(f, "even_parts", {kLength(8), kModel(16)}, {"length", "model"}, true, {"model", 4}));
    rows.push_back(reduce_row(f, "first", odd, {"batch"}));
    rows.push_back(reduce_row(f, "middle", odd, {"length"}));
    rows.push_back(reduce_row(f, "two_sides", odd, {"model", "batch"}));
    rows.push_back(reduce_row(f, "all", odd, odd.names()));
    rows.push_back(reduce_row(f, "one", odd, {"heads"}));
    rows.push_back(reduce_row(f, "long", {kLength(5), kModel(511)}, {"model"}));
    rows.push_back(reduce_row(f, "even", {kBatch(4), kLength(8), kHeads(4)}, {"length"}, true));
  }
  rows.push_back(broadcast_row("front", {kModel(33)}, {kBatch(3), kLength(31), kModel(33)}));
  rows.push_back(broadcast_row("back", {kBatch(3), kLength(31)}, {kBatch(3), kLength(31), kModel(33)}));
  rows.push_back(broadcast_row("middle", {kBatch(3), kModel(33)}, {kBatch(3), kLength(31), kModel(33)}));
  rows.push_back(broadcast_row("permuted", {kModel(33), kBatch(3)}, {kBatch(3), kLength(5), kModel(33)}));
  rows.push_back(broadcast_row("transposed", {kModel(33), kLength(31)}, {kLength(31), kModel(33)}));
  rows.push_back(broadcast_row("scalar", {}, {kLength(31), kModel(33)}));
  rows.push_back(broadcast_row("even", {kHeads(4), kBatch(4)}, {kBatch(4), kLength(8), kHeads(4)}, true));
  return rows;
}

}  // namespace synthesizer
