#include "core/ops/take.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

struct Setting {
  std::string label;
  Shape x;          // "position" is taken from
  Shape positions;  // [batch, length]
  bool all_rules = false;
};

bool own(const Setting& s) { return s.x.has("batch"); }

OpInput positions_of(const Setting& s) {
  return {"positions", s.positions, -1, static_cast<double>(s.x.size("position")), DType::kInt32};  // two lie outside
}

Shape taken(const Setting& s) {
  std::vector<Dim> dims = s.x.dims();
  dims[s.x.index("position")] = s.positions.dims()[1];
  if (!own(s)) dims.insert(dims.begin(), s.positions.dims()[0]);
  return Shape(dims);
}

// The place of x that element i of the longer side is taken from; false: none.
bool place(const Setting& s, const Tensor& positions, const Index& i, Index& from) {
  const auto position = static_cast<int64_t>(positions(i));
  from = with(i, "position", position);
  return position >= 0 && position < s.x.size("position");
}

OpCase take_row(const Setting& s) {
  OpCase c;
  c.op = "take";
  c.label = s.label;
  c.inputs = {{"x", s.x}, positions_of(s)};
  c.build = [](Graph&, In in, DType) { return std::vector{take(in[0], "position", in[1])}; };
  c.reference = [s](const auto& in) {
    return std::vector{tabulate(taken(s), [&](const Index& i) {
      Index from;
      return place(s, in[1], i, from) ? in[0](from) : 0;
    })};
  };
  c.flops = 0;
  c.all_rules = s.all_rules;
  return c;
}

OpCase take_gradient_row(const Setting& s) {
  OpCase c;
  c.op = "take_gradient";
  c.label = s.label;
  c.inputs = {positions_of(s), {"dy", taken(s)}};
  c.build = [s](Graph& g, In in, DType) {
    return std::vector{g.add_one(std::make_shared<TakeGradient>(Dim{"position", s.x.size("position")}, own(s)), in)};
  };
  c.reference = [s](const auto& in) {
    Tensor dx(s.x);
    each(in[1].shape, [&](const Index& i) {
      Index from;
      if (place(s, in[0], i, from)) dx(from) += in[1](i);
    });
    return std::vector{dx};
  };
  c.has_gradient = false;
  c.flops = taken(s).elements();
  c.all_rules = s.all_rules;
  return c;
}

}  // namespace

std::vector<OpCase> take_cases() {
  const DimName position{"position"};
  const std::vector<Setting> settings = {
      {"shared_rows", {kHeads(3), position(7), kMemoryLength(5)}, {kBatch(3), kLength(9)}},
      {"shared_columns", {kHeads(3), kMemoryLength(5), position(31)}, {kBatch(2), kLength(7)}},
      {"own_columns", {kBatch(3), kHeads(2), kMemoryLength(5), position(7)}, {kBatch(3), kLength(11)}},
      {"own_middle", {kBatch(2), position(7), kHeads(33)}, {kBatch(2), kLength(3)}},
      {"one", {position(1)}, {kBatch(1), kLength(1)}},
      {"even_shared", {kHeads(4), position(8), kMemoryLength(8)}, {kBatch(4), kLength(8)}, true},
      {"even_own", {kBatch(4), kHeads(4), kMemoryLength(8), position(8)}, {kBatch(4), kLength(8)}, true},
  };
  std::vector<OpCase> rows;
  for (const Setting& s : settings) {
    rows.push_back(take_row(s));
    rows.push_back(take_gradient_row(s));
  }
  return rows;
}

}  // namespace synthesizer
