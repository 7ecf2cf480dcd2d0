// Rows of chains. The reference is the chain's unfused form, in double: its ops have rows of their own.
#include <algorithm>

#include "core/ops/chain.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/update.h"
#include "core/tensor/bfloat16.h"
#include "tests/core/ops/op_case.h"
#include "tests/core/ops/op_runner.h"

namespace synthesizer {
namespace {

ChainStep f(UnaryFunction function, int x, double scale = 1, double shift = 0) {
  return {std::make_shared<Unary>(function, scale, shift), {x}};
}
ChainStep f(BinaryFunction function, int a, int b) { return {std::make_shared<Binary>(function), {a, b}}; }
ChainStep sum(ReduceFunction function, int x, const DimNames& over) {
  return {std::make_shared<Reduce>(function, over), {x}};
}
ChainStep put(int target, int value, int apply) { return {std::make_shared<Assign>(), {target, value, apply}}; }

OpInput kept(const std::string& name, const Shape& shape) { return {name, shape, -1, 1, DType::kFloat64, {}, true}; }
OpInput kept_copy(const std::string& name, const Shape& shape) {
  return {name, shape, -1, 1, DType::kBFloat16, {}, true};
}

OpCase chain_row(const std::string& label, const Shape& over, const std::vector<OpInput>& inputs,
                 const std::vector<ChainStep>& steps, const std::vector<int>& results) {
  const auto op = std::make_shared<Chain>(over, inputs.size(), steps, results);
  OpCase c;
  c.op = "chain";
  c.bfloat16 = std::none_of(steps.begin(), steps.end(), [](const ChainStep& step) { return is_chain_end(*step.op); });
  c.label = label;
  c.inputs = inputs;
  c.build = [op](Graph& g, In in, DType) { return g.add(op, in); };
  c.reference = [op, inputs](const std::vector<Tensor>& in) {
    Graph graph;
    OpCase row;
    row.inputs = inputs;
    const std::vector<Value> results = op->unfused(graph, add_leaves(graph, row, DType::kFloat64, whole_shapes(row)));
    mark_outputs(graph, results);
    OpRunner runner(graph);
    return run_once(runner, row, in, results.size());
  };
  c.has_gradient = false;
  return c;
}

// 4 bytes an element: what is read and written once.
OpCase costs(OpCase c, int64_t flops, int64_t elements) {
  c.flops = flops;
  c.bytes = 4 * elements;
  return c;
}

constexpr auto kAdd = BinaryFunction::kAdd, kSubtract = BinaryFunction::kSubtract,
               kMultiply = BinaryFunction::kMultiply;
constexpr auto kAffine = UnaryFunction::kAffine, kSquare = UnaryFunction::kSquare;
constexpr auto kSum = ReduceFunction::kSum, kSquares = ReduceFunction::kSumSquares;

// As many values as a chain may have, all inputs alive until the end: x row + column, again and again.
OpCase of_many_values() {
  const Shape over{kLength(31), kModel(33)};
  std::vector<OpInput> inputs{{"x", over}};
  for (int i = 0; i < 30; ++i) {
    inputs.push_back({"row" + std::to_string(i), {kLength(31)}});
    inputs.push_back({"column" + std::to_string(i), {kModel(33)}});
  }
  const int first = static_cast<int>(inputs.size());
  std::vector<ChainStep> steps;
  int sum = 0;
  for (int i = 30; i-- > 0;) {
    steps.push_back(f(kMultiply, sum, 1 + 2 * i));
    steps.push_back(f(kAdd, first + static_cast<int>(steps.size()) - 1, 2 + 2 * i));
    sum = first + static_cast<int>(steps.size()) - 1;
  }
  while (first + steps.size() < Chain::kMostValues) {
    steps.push_back(f(kAffine, sum, 0.75, 0.125));
    sum = first + static_cast<int>(steps.size()) - 1;
  }
  return chain_row("many_values", over, inputs, steps, {sum});
}

// y = tanh(x) with a mask that is shared along `shared`, then times z; x the second of two micro-batches.
OpCase dropout_row(const std::string& label, const Shape& over, const DimNames& shared) {
  const Block block{over, std::vector<int64_t>(over.rank())};
  const Dropout whole(0.25, 9, 0x123456789abcdefULL, shared, block);
  const std::shared_ptr<const Op> op = whole.in_micro_batches({2, false});
  const auto scalar = [](const char* name, double value) { return OpInput{name, {}, value, value, DType::kInt64}; };
  OpCase c = chain_row("dropout" + label, over, {{"x", over}, {"z", over}, scalar("step", 5), scalar("micro_batch", 1)},
                       {f(UnaryFunction::kTanh, 0), {op, {4, 2, 3}}, f(kMultiply, 5, 1)}, {6});
  c.bytes = 3 * 4 * over.elements() + 16;
  return c;
}

std::vector<OpCase> element_rows() {
  const Shape odd{kLength(31), kModel(33)}, deep{kBatch(3), kLength(31), kHeads(5), kHead(7)};
  OpCase even = chain_row("even", {kHeads(4), kModel(8)}, {{"a", {kHeads(4), kModel(8)}}, {"b", {kModel(8)}}},
                          {f(kMultiply, 0, 1), f(kAffine, 2, 2, 1)}, {3});
  even.all_rules = true;
  return {
      even,
      costs(chain_row("broadcast", odd, {{"x", odd}, {"row", {kLength(31)}}, {"column", {kModel(33)}}, {"scalar", {}}},
                      {f(kMultiply, 0, 1), f(kAdd, 4, 2), f(kMultiply, 3, 5), f(UnaryFunction::kTanh, 6)}, {7}),
            4 * 1023, 1023 + 31 + 33 + 1 + 1023),
      // The input and a value on the way are read again, the value is given too.
      costs(chain_row("read_again", odd, {{"x", odd}, {"y", odd}},
                      {f(kSquare, 0), f(kMultiply, 2, 1), f(kSubtract, 3, 0), f(kAdd, 4, 2)}, {3, 5}),
            4 * 1023, 4 * 1023),
      chain_row("gradient", odd, {{"saved", odd}, {"dy", {kModel(33)}}, {"s", {}}},
                {{std::make_shared<Broadcast>(odd), {1}},
                 {std::make_shared<UnaryGradient>(UnaryFunction::kSigmoid), {0, 3}},
                 {std::make_shared<Broadcast>(odd), {2}},
                 f(kMultiply, 4, 5)},
                {6}),
      chain_row(
          "between", deep,
          {{"x", deep}, {"m", {kBatch(3), kHeads(5)}}, {"n", {kLength(31), kHead(7)}}, {"p", {kHead(7), kBatch(3)}}},
          {f(kMultiply, 0, 1), f(kAdd, 4, 2), f(kMultiply, 5, 3), f(UnaryFunction::kRelu, 6)}, {7}),
      chain_row("outer", odd, {{"row", {kLength(31)}}, {"column", {kModel(33)}}},
                {{std::make_shared<Broadcast>(odd), {0}}, f(kAdd, 2, 1), f(kSquare, 3)}, {4}),
      chain_row("scalars", {}, {{"a", {}}, {"b", {}}}, {f(kMultiply, 0, 1), f(kAffine, 2, 3, 1)}, {3}),
      chain_row("long", {kLength(37), kModel(511)}, {{"x", {kLength(37), kModel(511)}}, {"column", {kModel(511)}}},
                {f(kSquare, 0), f(kMultiply, 2, 1)}, {3}),
      of_many_values(),
      dropout_row("_whole", {kBatch(3), kLength(31), kModel(33)}, {}),
      dropout_row("_shared", {kBatch(2), kLength(67), kModel(32)}, {"length"}),
      dropout_row("_shared_row", {kBatch(2), kLength(67), kModel(9)}, {"model"}),
      dropout_row("_shared_rows", {kModel(32), kLength(5), kBatch(7)}, {"model"}),
      dropout_row("_one", {kBatch(1), kModel(1)}, {"model", "batch"}),
  };
}

std::vector<OpCase> sum_rows() {
  const Shape odd{kLength(511), kModel(33)}, deep{kHeads(3), kLength(67), kModel(35)};
  const OpInput x{"x", odd}, y{"y", odd};
  OpCase long_row = chain_row("long_rows_and_columns", {kLength(3), kModel(9001)},
                              {{"x", {kLength(3), kModel(9001)}}, {"m", {kModel(9001)}}},
                              {f(kMultiply, 0, 1), sum(kSum, 2, {kModel}), sum(kSquares, 2, {kLength})}, {3, 4});
  return {
      costs(chain_row("total", odd, {x, y}, {f(kMultiply, 0, 1), sum(kSum, 2, {kLength, kModel})}, {3}), 2 * 511 * 33,
            2 * 511 * 33 + 1),
      chain_row("totals", odd, {x, y},
                {f(kMultiply, 0, 1), sum(kSum, 2, {kLength, kModel}), sum(kSquares, 0, {kModel, kLength})}, {2, 3, 4}),
      chain_row("rows", odd, {x, y}, {f(kMultiply, 0, 1), sum(kSum, 2, {kModel}), sum(kSum, 0, {kModel})}, {3, 4}),
      chain_row("columns", odd, {x, y}, {f(kSubtract, 0, 1), sum(kSum, 2, {kLength}), f(kSquare, 2)}, {3, 4}),
      chain_row("wide_columns", {kLength(2), kModel(40000)}, {{"x", {kLength(2), kModel(40000)}}},
                {f(kSquare, 0), sum(kSquares, 1, {kLength})}, {2}),
      chain_row("middle", deep, {{"x", deep}}, {f(kSquare, 0), sum(kSquares, 1, {kLength})}, {2}),
      chain_row("outside", deep, {{"x", deep}}, {f(kSquare, 0), sum(kSum, 1, {kHeads, kModel})}, {1, 2}),
      costs(chain_row("rows_and_columns", odd, {x}, {sum(kSquares, 0, {kModel}), sum(kSquares, 0, {kLength})}, {1, 2}),
            4 * 511 * 33, 511 * 33 + 511 + 33),
      chain_row("blocks_of_rows_and_columns", deep, {{"x", deep}, {"s", {kHeads(3)}}},
                {f(kMultiply, 0, 1), sum(kSquares, 2, {kLength}), sum(kSum, 2, {kModel}), sum(kSum, 0, {kModel})},
                {2, 3, 4, 5}),
      chain_row("several_dims", deep, {{"x", deep}}, {sum(kSquares, 0, {kModel, kLength}), sum(kSum, 0, {kHeads})},
                {1, 2}),
      long_row,
  };
}

// What bf16 does not hold is no value of a copy.
void round_copies(std::vector<Tensor>& inputs) {
  for (double& value : inputs[3].data) value = to_float(to_bfloat16(static_cast<float>(value)));
}

// The copy alone and before the other results, of a value that is given and summed up too.
OpCase copy_alone(const std::string& label, const OpInput& apply) {
  const Shape over{kLength(131), kModel(67)};
  OpCase c = chain_row("copy_alone" + label, over, {{"x", over}, {"row", {kLength(131)}}, apply, kept_copy("c", over)},
                       {f(kMultiply, 0, 1), put(3, 4, 2), sum(kSquares, 4, {kModel})}, {5, 4, 6});
  c.flops = 3 * over.elements();
  c.bytes = (4 + 4 + 2) * over.elements() + 2 * 4 * 131 + 4;
  c.adjust = round_copies;
  return c;
}

std::vector<OpCase> update_rows() {
  const Shape odd{kLength(31), kModel(33)};
  const OpInput on{"apply", {}, 1, 1}, off{"apply", {}, 0, 0};
  std::vector<OpCase> rows;
  for (const OpInput& apply : {on, off}) {
    const std::string label = apply.low == 0 ? "_not_applied" : "";
    // p := p − x · row
    rows.push_back(costs(chain_row("step" + label, odd, {kept("p", odd), {"x", odd}, {"row", {kLength(31)}}, apply},
                                   {f(kMultiply, 1, 2), f(kSubtract, 0, 4), put(0, 5, 3)}, {6}),
                         2 * 1023, 3 * 1023 + 31 + 1));
    // s := s / 2 + x, and what follows from it.
    rows.push_back(chain_row(
        "state" + label, odd, {kept("s", odd), {"x", odd}, apply},
        {f(kAffine, 0, 0.5), f(kAdd, 3, 1), put(0, 4, 2), f(kSquare, 4), sum(kSum, 6, {kModel, kLength})}, {5, 6, 7}));
    rows.push_back(costs(
        chain_row("input" + label, odd, {kept("s", odd), {"x", odd}, apply}, {put(0, 1, 2), f(kSquare, 1)}, {3, 4}),
        1023, 3 * 1023 + 1));
    // p := p − x, and its copy in bf16, which is not read.
    OpCase copy = chain_row("copy" + label, odd, {kept("p", odd), {"x", odd}, apply, kept_copy("c", odd)},
                            {f(kSubtract, 0, 1), put(0, 4, 2), put(3, 4, 2)}, {5, 6});
    copy.flops = 1023;
    copy.bytes = (3 * 4 + 2) * 1023 + 4;
    copy.adjust = round_copies;
    rows.push_back(copy);
    rows.push_back(copy_alone(label, apply));
    rows.push_back(
        chain_row("scalar" + label, {}, {kept("s", {}), {"x", {}}, apply}, {f(kAdd, 0, 1), put(0, 3, 2)}, {4}));
  }
  return rows;
}

}  // namespace

std::vector<OpCase> chain_cases() {
  std::vector<OpCase> all = element_rows();
  for (const auto& family : {sum_rows(), update_rows()}) all.insert(all.end(), family.begin(), family.end());
  return all;
}

}  // namespace synthesizer
