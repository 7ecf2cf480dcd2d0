// Every row of every op: forward in all precisions, gradient by central differences, every rule of the partition table
// against the whole, and what the op says of itself. An op without a row fails.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <typeinfo>

#include "core/base/error.h"
#include "core/graph/differentiate.h"
#include "core/graph/report.h"
#include "core/kernels/cpu/kernel_case.h"
#include "core/ops/all_ops.h"
#include "core/ops/collectives.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/tensor/bfloat16.h"
#include "dist/thread_communicator.h"
#include "dist/time.h"
#include "tests/core/ops/op_runner.h"

namespace synthesizer {
namespace {

constexpr size_t kProbes = 64;  // elements of each input that the gradient is checked at

class OpRow : public ::testing::TestWithParam<OpCase> {
 protected:
  // The row's graph: leaves, then the one node.
  std::vector<Value> build(Graph& graph, DType dtype) {
    const std::vector<Value> leaves = add_leaves(graph, GetParam(), dtype, whole_shapes(GetParam()));
    const std::vector<Value> outputs = GetParam().build(graph, leaves, dtype);
    CHECK(graph.nodes().size() == leaves.size() + 1, "a row adds one node");
    const Node& node = graph.nodes().back();
    CHECK(node.op->name() == GetParam().op, "a row of {} built {}", GetParam().op, node.op->name());
    for (size_t i = 0; i < leaves.size(); ++i) CHECK(node.inputs.at(i) == leaves[i].ref(), "input {}", i);
    return outputs;
  }

  void check_forward(DType dtype, double tolerance) {
    Graph graph;
    const std::vector<Value> outputs = build(graph, dtype);
    mark_outputs(graph, outputs);
    std::vector<Tensor> inputs = case_inputs(GetParam());
    for (size_t i = 0; dtype == DType::kBFloat16 && i < inputs.size(); ++i)
      if (GetParam().inputs[i].dtype == DType::kFloat64)
        for (double& value : inputs[i].data) value = to_float(to_bfloat16(static_cast<float>(value)));
    const std::vector<Tensor> expected = GetParam().reference(inputs);
    ASSERT_EQ(expected.size(), outputs.size());
    KernelCounters counters;
    OpRunner runner(graph, {}, &counters);
    const std::vector<Tensor> got = run_once(runner, GetParam(), inputs, outputs.size());
    EXPECT_EQ(counters.product_flops, GetParam().product_flops.value_or(counters.product_flops));
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(difference(got[i], expected[i], tolerance), "") << "output " << i;
  }
};

TEST_P(OpRow, ForwardInFloat64) { check_forward(DType::kFloat64, GetParam().tolerance64); }

TEST_P(OpRow, ForwardInFloat32) { check_forward(DType::kFloat32, GetParam().tolerance32); }

// Inputs that bf16 holds exactly, so that what is left is the rounding of outputs and of what products are given.
TEST_P(OpRow, ForwardInBFloat16) {
  if (GetParam().bfloat16)
    check_forward(DType::kBFloat16, 0.01);
  else
    EXPECT_THROW(check_forward(DType::kBFloat16, 0.01), Error);  // refused, not computed somehow
}

// ---- gradient

// The graph of a random linear functional of the outputs, and its gradients "d0", "d1"… by the inputs that vary.
struct GradientGraph {
  Graph graph;
  std::vector<size_t> wanted;  // inputs
  std::vector<std::string> weights;
};

void add_loss(const OpCase& row, GradientGraph& g, std::span<const Value> leaves, std::span<const Value> outputs) {
  Value loss;
  for (const size_t i : row.loss_outputs) {
    CHECK(i < outputs.size(), "output {}", i);
    g.weights.push_back(fmt::format("weight{}", i));
    const Value weight = input(g.graph, g.weights.back(), DType::kFloat64, outputs[i].shape());
    const Value part = reduce_sum(outputs[i] * weight, outputs[i].shape().names());
    loss = loss ? loss + part : part;
  }
  g.graph.mark_output("loss", loss);
  std::vector<Value> wanted;
  for (size_t i = 0; i < leaves.size(); ++i)
    if (is_floating(leaves[i].dtype()) && row.inputs[i].varies) {
      g.wanted.push_back(i);
      wanted.push_back(leaves[i]);
    }
  const std::vector<Value> gradients = differentiate(loss, wanted, [](Value a, Value b) { return a + b; });
  for (size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_TRUE(gradients[i]) << row.inputs[g.wanted[i]].name;
    g.graph.mark_output(fmt::format("d{}", i), gradients[i]);
  }
}

TEST_P(OpRow, GradientByCentralDifferences) {
  const OpCase& row = GetParam();
  GradientGraph g;
  const std::vector<Value> leaves = add_leaves(g.graph, row, DType::kFloat64, whole_shapes(row));
  const std::vector<Value> outputs = row.build(g.graph, leaves, DType::kFloat64);
  if (!row.has_gradient) {  // says so, or takes integers only
    const auto is_float = [](Value v) { return is_floating(v.dtype()); };
    if (std::any_of(leaves.begin(), leaves.end(), is_float)) {
      EXPECT_THROW(add_loss(row, g, leaves, outputs), Error);
    }
    return;
  }
  add_loss(row, g, leaves, outputs);
  OpRunner runner(g.graph);
  for (const std::string& name : g.weights) {
    Tensor weight(g.graph.leaf(name).shape());
    for (size_t e = 0; e < weight.data.size(); ++e) weight.data[e] = random01(99, e) - 0.5;
    runner.set(name, weight);
  }
  std::vector<Tensor> inputs = case_inputs(row);
  const auto loss_at = [&] {
    for (size_t i = 0; i < inputs.size(); ++i) runner.set(row.inputs[i].name, inputs[i]);
    runner.run();
    return runner.get("loss").data[0];
  };
  loss_at();
  std::vector<Tensor> gradients;
  for (size_t w = 0; w < g.wanted.size(); ++w) gradients.push_back(runner.get(fmt::format("d{}", w)));
  for (size_t w = 0; w < g.wanted.size(); ++w) {
    Tensor& x = inputs[g.wanted[w]];
    double scale = 1;
    for (const double d : gradients[w].data) scale = std::max(scale, std::abs(d));
    const size_t stride = std::max<size_t>(1, x.data.size() / kProbes);
    for (size_t e = 0; e < x.data.size(); e += stride) {
      const double at = x.data[e], step = 1e-4;
      const auto slope = [&](double h) {
        x.data[e] = at + h;
        const double above = loss_at();
        x.data[e] = at - h;
        const double below = loss_at();
        return (above - below) / (2 * h);
      };
      const double numeric = (4 * slope(step) - slope(2 * step)) / 3;  // error of order step⁴
      x.data[e] = at;
      ASSERT_NEAR(gradients[w].data[e], numeric, row.gradient_tolerance * scale)
          << "by element " << e << " of " << row.inputs[g.wanted[w]].name;
    }
  }
}

// ---- partition

std::string describe_rule(const PartitionRule& rule) {
  std::string text = "(";
  for (const Placement& p : rule.inputs) text += p.to_string() + " ";
  text += "->";
  for (const Placement& p : rule.outputs) text += " " + p.to_string();
  return text + ")";
}

bool fits(const PartitionRule& rule, std::span<const ValueType> inputs, std::span<const ValueType> outputs, int ranks) {
  const auto divides = [&](const Placement& p, const ValueType& type) {
    return p.kind != Placement::Kind::kSplit || type.shape.size(p.dim) % ranks == 0;
  };
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!divides(rule.inputs[i], inputs[i])) return false;
  for (size_t i = 0; i < outputs.size(); ++i)
    if (!divides(rule.outputs[i], outputs[i])) return false;
  return true;
}

// One rank's op, run on its part of the inputs.
std::vector<Tensor> run_local(const OpCase& row, std::shared_ptr<const Op> op, std::span<const Tensor> inputs,
                              std::span<const ValueType> expected) {
  Graph graph;
  std::vector<Shape> shapes;
  for (const Tensor& tensor : inputs) shapes.push_back(tensor.shape);
  const std::vector<Value> leaves = add_leaves(graph, row, DType::kFloat64, shapes);
  const auto outputs = leaves.empty() && !op->pure() ? std::vector{graph.add_leaf(op, "leaf")} : graph.add(op, leaves);
  for (size_t i = 0; i < outputs.size(); ++i)
    CHECK(outputs[i].type() == expected[i], "output {}: got {}", i, outputs[i].shape().to_string());
  mark_outputs(graph, outputs);
  OpRunner runner(graph);
  return run_once(runner, row, inputs, outputs.size());
}

void check_rule(const OpCase& row, const Graph& graph, const PartitionRule& rule, std::span<const ValueType> outputs,
                std::span<const Tensor> inputs, std::span<const Tensor> whole, int ranks) {
  const Node& node = graph.nodes().back();
  std::vector<ValueType> types;
  for (const ValueRef& ref : node.inputs) types.push_back(graph.type(ref));
  std::vector<std::vector<Tensor>> placed, results(static_cast<size_t>(ranks));
  for (size_t i = 0; i < inputs.size(); ++i) placed.push_back(place(inputs[i], rule.inputs[i], ranks, 1000 * i));
  run_ranks(ranks, [&](Communicator& self) {
    const auto rank = static_cast<size_t>(self.rank());
    const AxisIndex axis{"data", self.rank(), ranks};
    std::shared_ptr<const Op> op = node.op->localize(rule, axis, types, outputs);
    if (!op) op = node.op;
    std::vector<Tensor> mine;
    for (const auto& parts : placed) mine.push_back(parts[rank]);
    std::vector<ValueType> local;
    for (size_t i = 0; i < outputs.size(); ++i)
      local.push_back({outputs[i].dtype, local_shape(outputs[i].shape, rule.outputs[i], axis)});
    results[rank] = run_local(row, op, mine, local);
  });
  for (size_t i = 0; i < whole.size(); ++i) {
    std::vector<Tensor> parts;
    for (const auto& result : results) parts.push_back(result[i]);
    EXPECT_EQ(difference(combine(parts, rule.outputs[i]), whole[i], 10 * row.tolerance64), "")
        << describe_rule(rule) << " on " << ranks << " ranks, output " << i;
  }
}

TEST_P(OpRow, PartitionedAgainstWhole) {
  const OpCase& row = GetParam();
  Graph graph;
  const std::vector<Value> values = build(graph, DType::kFloat64);
  const Node& node = graph.nodes().back();
  std::vector<ValueType> types, outputs;
  for (const ValueRef& ref : node.inputs) types.push_back(graph.type(ref));
  for (const Value& value : values) outputs.push_back(value.type());
  const std::vector<PartitionRule> rules = node.op->partition(types, node.outputs);
  mark_outputs(graph, values);
  const std::vector<Tensor> inputs = case_inputs(row);
  std::vector<Tensor> whole;
  {
    OpRunner runner(graph);
    whole = run_once(runner, row, inputs, values.size());
  }
  ASSERT_FALSE(rules.empty());
  EXPECT_EQ(describe_rule(rules[0]), describe_rule(whole_rule(types.size(), node.outputs.size())));
  std::set<std::string> seen;
  for (const PartitionRule& rule : rules) {
    EXPECT_TRUE(seen.insert(describe_rule(rule)).second) << describe_rule(rule) << " twice";
    ASSERT_EQ(rule.inputs.size(), types.size());
    ASSERT_EQ(rule.outputs.size(), node.outputs.size());
    for (const int ranks : {2, 4}) {
      const bool possible = fits(rule, types, node.outputs, ranks);
      EXPECT_TRUE(possible || !row.all_rules) << describe_rule(rule) << " does not fit " << ranks << " ranks";
      if (possible) check_rule(row, graph, rule, outputs, inputs, whole, ranks);
    }
  }
}

// ---- what the op says of itself

// Everything once, but of what is cut out: the elements that are taken, read and written.
int64_t bytes_of_a_run(const Op& op, std::span<const ValueType> inputs, std::span<const ValueType> outputs) {
  if (op.name() == "slice" || op.name() == "slice_at") return 2 * total_bytes(outputs);
  return total_bytes(inputs) + total_bytes(outputs);
}

TEST_P(OpRow, CostAndAttributes) {
  Graph graph;
  build(graph, DType::kFloat32);
  const Node& node = graph.nodes().back();
  std::vector<ValueType> types;
  for (const ValueRef& ref : node.inputs) types.push_back(graph.type(ref));
  const Cost cost = node.op->cost(types, node.outputs);
  EXPECT_EQ(cost.flops, GetParam().flops.value_or(cost.flops));
  EXPECT_GE(cost.flops, 0);
  const bool moves_nothing = node.op->aliases().size() == 1 && node.op->aliases()[0].kind == Alias::Kind::kView;
  if (moves_nothing || types.empty()) {
    EXPECT_EQ(cost.flops, 0);
  } else {
    EXPECT_EQ(cost.bytes,
              GetParam().bytes.value_or(bytes_of_a_run(*node.op, types, node.outputs)) + GetParam().extra_bytes);
  }
  EXPECT_EQ(node.op->attributes().find('\n'), std::string::npos);
  for (const Alias& alias : node.op->aliases()) {
    EXPECT_LT(static_cast<size_t>(alias.input), types.size());
    EXPECT_LT(static_cast<size_t>(alias.output), node.outputs.size());
  }
}

INSTANTIATE_TEST_SUITE_P(All, OpRow, ::testing::ValuesIn(all_cases()), [](const auto& info) {
  return info.param.op + "_" + info.param.label + "_" + std::to_string(info.index);
});

// Collectives have rows of their own, in collectives_test.cc, which makes the same check.
TEST(AllOps, HaveARowThatCoversThePartitionTable) {
  std::set<std::string> covered;
  for (const OpCase& row : all_cases())
    if (row.all_rules) covered.insert(row.op);
  for (const OpEntry& op : kAllOps)
    EXPECT_TRUE(op.role == OpRole::kCollective || covered.contains(std::string(op.name))) << op.name;
}

TEST(AllOps, EveryRowIsOfAListedOp) {
  std::set<std::string> listed;
  for (const OpEntry& op : kAllOps) listed.insert(std::string(op.name));
  for (const OpCase& row : all_cases()) EXPECT_TRUE(listed.contains(row.op)) << row.op;
}

// The kernels' list knows ops by their class: none is there without a row.
TEST(AllOps, EveryKernelHasARow) {
  std::set<std::string> classes;
  for (const OpCase& row : all_cases()) {
    Graph graph;
    row.build(graph, add_leaves(graph, row, DType::kFloat32, whole_shapes(row)), DType::kFloat32);
    const Op& op = *graph.nodes().back().op;
    classes.insert(typeid(op).name());
  }
  for (const std::type_info* collective :
       {&typeid(AllReduce), &typeid(ReduceScatter), &typeid(AllGather), &typeid(AllToAll)})
    classes.insert(collective->name());
  for (const std::type_info* op : ops_with_kernels()) EXPECT_TRUE(classes.contains(op->name())) << op->name();
}

// What counts as the model's products is planned as products, not as operations on single elements.
TEST(AllOps, TheTimeOfEveryProductIsThatOfAProduct) {
  for (const OpCase& row : all_cases()) {
    Graph graph;
    row.build(graph, add_leaves(graph, row, DType::kFloat32, whole_shapes(row)), DType::kFloat32);
    const Node& node = graph.nodes().back();
    const ProductSize size = product_size(*node.op, graph.input_types(node), node.outputs);
    EXPECT_EQ(size.m > 0 && size.n > 0 && size.k > 0, is_product(*node.op)) << row.op << " " << row.label;
  }
}

}  // namespace
}  // namespace synthesizer
