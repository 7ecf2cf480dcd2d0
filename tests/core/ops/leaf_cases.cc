// What a step is given or makes itself, and the one op of partition that is no collective.
#include "core/graph/leaf.h"
#include "core/ops/collectives.h"
#include "tests/core/ops/op_case.h"
#include "tests/core/ops/op_runner.h"

namespace synthesizer {
namespace {

const Shape kShape{kHeads(4), kModel(8), kBatch(12)};

// Of a leaf named "leaf": its initial values, or 0 of an input that nobody has written, a sum that nobody has begun or
// what is derived of nothing.
OpCase leaf_row(const std::string& op, Leaf::Kind kind) {
  OpCase c;
  c.op = op;
  c.label = "even";
  const Initializer initializer = Initializer::truncated_normal(0.5);
  const bool drawn = kind != Leaf::Kind::kInput && kind != Leaf::Kind::kGathered && kind != Leaf::Kind::kDerived;
  c.build = [=](Graph& g, In, DType dtype) {
    return std::vector{g.add_leaf(std::make_shared<Leaf>(kind, dtype, kShape, initializer), "leaf")};
  };
  c.reference = [=](const auto&) {
    Tensor y(kShape);
    const std::vector<int64_t> sizes = {4, 8, 12}, begins = {0, 0, 0};
    if (drawn) fill_initial(initializer, kStateSeed, "leaf", sizes, begins, sizes, y.data.data());
    return std::vector{y};
  };
  c.has_gradient = false;
  c.bfloat16 = !drawn;
  c.all_rules = true;
  return c;
}

OpCase constant_row(const std::string& label, const Shape& shape, double value, bool all_rules = false) {
  OpCase c;
  c.op = "constant";
  c.label = label;
  c.build = [=](Graph& g, In, DType dtype) { return std::vector{constant(g, dtype, shape, value)}; };
  c.reference = [=](const auto&) { return std::vector{Tensor(shape, value)}; };
  c.has_gradient = false;
  c.all_rules = all_rules;
  return c;
}

// On its own axis it is in collectives_test.cc; here as the other axes see it.
OpCase keep_on_first_row(int index) {
  OpCase c;
  c.op = "keep_on_first";
  c.label = index == 0 ? "first" : "other";
  c.inputs = {{"x", kShape}};
  c.build = [=](Graph& g, In in, DType) {
    return std::vector{g.add_one(std::make_shared<KeepOnFirst>(AxisIndex{"other", index, 2}), in)};
  };
  c.reference = [=](const auto& in) { return std::vector{index == 0 ? in[0] : Tensor(kShape)}; };
  c.has_gradient = false;
  c.all_rules = true;
  return c;
}

}  // namespace

std::vector<OpCase> leaf_cases() {
  return {
      leaf_row("parameter", Leaf::Kind::kParameter),
      leaf_row("fixed", Leaf::Kind::kFixed),
      leaf_row("state", Leaf::Kind::kState),
      leaf_row("gathered", Leaf::Kind::kGathered),
      leaf_row("derived", Leaf::Kind::kDerived),
      leaf_row("input", Leaf::Kind::kInput),
      constant_row("odd", {kLength(31), kModel(33)}, -0.375),
      constant_row("scalar", {}, 2),
      constant_row("even", kShape, 0.5, true),
      keep_on_first_row(0),
      keep_on_first_row(1),
  };
}

}  // namespace synthesizer
