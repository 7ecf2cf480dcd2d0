// Which nodes become chains and which do not; and that no bit changes, on graphs drawn at random.
#include "core/ops/chain.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/cast.h"
#include "core/ops/dropout.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/passes/chain_pass.h"
#include "core/ops/update.h"
#include "tests/core/ops/drawn_graph.h"
#include "tests/core/ops/op_runner.h"

namespace synthesizer {
namespace {

const Shape kSpace{kLength(131), kModel(67)};

const Node& node_of(const Graph& graph, std::string_view op) {
  for (const Node& node : graph.nodes())
    if (node.op->name() == op) return node;
  fail("no {}", op);
}

struct Built {
  Graph graph;
  Value x, y, row, column, scalar;

  Built() {
    x = leaf("x", kSpace);
    y = leaf("y", kSpace);
    row = leaf("row", {kSpace.dims()[0]});
    column = leaf("column", {kSpace.dims()[1]});
    scalar = leaf("scalar", {});
  }
  Value leaf(const std::string& name, const Shape& shape) { return input(graph, name, DType::kFloat32, shape); }
};

TEST(Chain, OneNodeForALineOfNodes) {
  Built b;
  const Value z = b.x * b.row + b.column;
  mark_outputs(b.graph, {{tanh(z) * b.scalar}});
  const std::string name = b.graph.nodes().back().name;
  const auto chains = make_chains(b.graph);
  EXPECT_EQ(count(*chains, "chain"), 1u);
  EXPECT_EQ(chains->nodes().size(), 6u);
  EXPECT_EQ(node_of(*chains, "chain").name, name);
  EXPECT_EQ(node_of(*chains, "chain").outputs.size(), 1u);
  expect_same_bits(b.graph, *chains);
}

TEST(Chain, GivesWhatOthersReadToo) {
  Built b;
  const Value z = b.x * b.row;
  const Value end = relu(z + b.y);
  mark_outputs(b.graph, {{einsum(z, b.y, {"length"}), end}});
  const auto chains = make_chains(b.graph);
  EXPECT_EQ(count(*chains, "chain"), 1u);
  EXPECT_EQ(node_of(*chains, "chain").outputs.size(), 2u);
  expect_same_bits(b.graph, *chains);
}

// What stands between reads what the chain would give only later.
TEST(Chain, DoesNotGoAroundOthers) {
  Built b;
  const Value z = exp(b.x);
  const Value total = reduce_sum(z, {kLength, kModel});
  mark_outputs(b.graph, {{z / total}});
  const auto chains = make_chains(b.graph);
  EXPECT_EQ(count(*chains, "chain"), 1u);  // the function and its sum
  EXPECT_EQ(count(*chains, "divide"), 1u);
  expect_same_bits(b.graph, *chains);
}

TEST(Chain, ComputesAgainWhatIsCheap) {
  Built b;
  const Value z = b.x * b.row * b.column;
  const Value total = sum_squares(z);
  mark_outputs(b.graph, {{b.y - z * total}});
  const auto chains = make_chains(b.graph);
  ASSERT_EQ(count(*chains, "chain"), 2u);
  EXPECT_EQ(chains->nodes().size(), 7u);
  EXPECT_EQ(node_of(*chains, "chain").outputs.size(), 1u);  // the sum alone
  expect_same_bits(b.graph, *chains);
}

TEST(Chain, WritesWhatWouldTakeTwoReadsToComputeAgain) {
  Built b;
  const Value other = b.leaf("other", kSpace);
  const Value z = b.x * b.y;
  const Value total = sum_squares(z);
  mark_outputs(b.graph, {{other - z * total}});
  const auto chains = make_chains(b.graph);
  ASSERT_EQ(count(*chains, "chain"), 2u);
  EXPECT_EQ(node_of(*chains, "chain").outputs.size(), 2u);
  expect_same_bits(b.graph, *chains);
}

TEST(Chain, RowsAndColumnsInOneRead) {
  Built b;
  mark_outputs(b.graph, {{sum_squares(b.x, {kModel}), sum_squares(b.x, {kLength})}});
  const auto chains = make_chains(b.graph);
  EXPECT_EQ(chains->nodes().size(), 6u);
  EXPECT_EQ(dynamic_cast<const Chain&>(*node_of(*chains, "chain").op).order(), ChainOrder::kRowsAndColumns);
  expect_same_bits(b.graph, *chains);
}

TEST(Chain, UpdatesAndReadersKeepTheirOrder) {
  Built b;
  const Value p = state(b.graph, "p", DType::kFloat32, kSpace, {});
  const Value on = constant(b.graph, DType::kFloat32, {}, 1);
  const Value z = p * b.row;  // of p as it was
  assign(p, p - b.x, on);
  mark_outputs(b.graph, {{square(z) + b.y}});
  const auto chains = make_chains(b.graph);
  EXPECT_EQ(count(*chains, "assign"), 0u);
  expect_same_bits(b.graph, *chains);
}

// A result may take the memory of what a step has read, but a sum reads last.
TEST(Chain, SumsReadBeforeAResultTakesTheirPlace) {
  Built b;
  const Value product = einsum(b.x, b.leaf("w", {kModel(67), kFf(64)}), {kModel});
  const Value other = b.leaf("z", {kLength(131), kFf(64)});
  mark_outputs(b.graph, {{reduce_sum(product, {kLength}), other + product}});
  const auto chained = make_chains(b.graph);
  EXPECT_EQ(count(*chained, "chain"), 1u);
  expect_same_bits(b.graph, *chained);
}

TEST(Chain, LeavesSumsInParts) {
  Built b;
  const Value z = b.x * b.row;
  const auto parts =
      std::make_shared<Reduce>(ReduceFunction::kSum, DimNames{"length", "model"}, ReduceParts{"model", 1});
  mark_outputs(b.graph, {{b.graph.add_one(parts, {{z}}), reduce_max(z + b.y, {kModel})}});
  const Value whole = b.leaf("whole", {kLength(4), kModel(8)});
  const auto four = std::make_shared<Reduce>(ReduceFunction::kSum, DimNames{"length"}, ReduceParts{"length", 4});
  b.graph.mark_output("parts", b.graph.add_one(four, {{square(whole)}}));
  const auto chains = make_chains(b.graph);
  EXPECT_EQ(count(*chains, "reduce_max"), 1u);
  EXPECT_EQ(count(*chains, "reduce_sum"), 2u);
  EXPECT_EQ(count(*chains, "square"), 1u);
  expect_same_bits(b.graph, *chains);
}

TEST(Chain, CopiesOfRecomputeStayApart) {
  Built b;
  const auto half = std::make_shared<Unary>(UnaryFunction::kAffine, 0.5, 0);
  const Value z = b.graph.add_named(half, {{b.x}}, "z/recomputed")[0];
  mark_outputs(b.graph, {{square(z)}});
  const auto chains = make_chains(b.graph);
  EXPECT_EQ(count(*chains, "chain"), 0u);
}

TEST(Chain, OrdersOfSums) {
  const Shape over{kHeads(3), kLength(5), kModel(7)};
  const auto order = [&](const std::vector<DimNames>& sets) { return chain_order(over, sets); };
  EXPECT_EQ(order({}), ChainOrder::kElements);
  EXPECT_EQ(order({{"heads", "model"}, {"model", "heads"}}), ChainOrder::kReduction);
  EXPECT_EQ(order({{"length"}, {"model"}}), ChainOrder::kRowsAndColumns);
  EXPECT_EQ(order({{"length", "model"}, {"heads"}}), ChainOrder::kRowsAndColumns);
  EXPECT_EQ(order({{"heads"}, {"model"}}), std::nullopt);  // not side by side
  EXPECT_EQ(order({{"heads"}, {"length"}}), std::nullopt);
  EXPECT_EQ(order({{"length", "model"}, {"model"}}), std::nullopt);
  EXPECT_EQ(order({{"length"}, {"model"}, {"heads"}}), std::nullopt);
}

TEST(Chain, RefusesWhatIsNone) {
  const auto add = std::make_shared<Binary>(BinaryFunction::kAdd);
  const auto total = std::make_shared<Reduce>(ReduceFunction::kSum, DimNames{"length", "model"});
  EXPECT_THROW(Chain(kSpace, 1, {{add, {0, 1}}}, {1}), Error);                   // reads itself
  EXPECT_THROW(Chain(kSpace, 1, {{total, {0}}, {add, {0, 1}}}, {1, 2}), Error);  // goes on after an end
  EXPECT_THROW(Chain(kSpace, 1, {{add, {0, 0}}, {total, {1}}}, {1}), Error);     // an end for nobody
  EXPECT_THROW(Chain(kSpace, 2, {{std::make_shared<Einsum>(DimNames{}), {0, 1}}}, {2}), Error);
}

class DrawnChains : public testing::TestWithParam<DType> {};

TEST_P(DrawnChains, ChangeNoBit) {
  size_t chains = 0, nodes = 0;
  for (uint32_t seed = 0; seed < 80; ++seed) {
    SCOPED_TRACE(seed);
    Graph graph;
    draw_graph(graph, seed, GetParam());
    const auto fused = make_chains(graph, true);
    chains += count(*fused, "chain");
    nodes += graph.nodes().size() - fused->nodes().size();
    expect_same_bits(graph, *fused);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(chains, 200u);
  EXPECT_GT(nodes, 800u);
}

INSTANTIATE_TEST_SUITE_P(Types, DrawnChains, testing::Values(DType::kFloat32, DType::kBFloat16),
                         [](const auto& of) { return std::string(to_string(of.param)); });

// What backward does behind a dropout.
TEST(Chain, TakesDropoutsWhereItIsAsked) {
  Built b;
  const Value step = input(b.graph, "step", DType::kInt64, {});
  const Value dropped = dropout(relu(b.x), 0.25, {"length"}, step, 3);
  mark_outputs(b.graph, {{dropped * b.y}});
  const auto chains = make_chains(b.graph, true);
  EXPECT_EQ(count(*chains, "chain"), 1u);
  EXPECT_EQ(count(*chains, "dropout"), 0u);
  expect_same_bits(b.graph, *chains);
  EXPECT_EQ(count(*make_chains(b.graph), "dropout"), 1u);
}

// What is in bf16 and what is not are not one chain, and sums are no part of one in bf16.
TEST(Chain, KeepsTypesApart) {
  Graph graph;
  const Value x = cast(input(graph, "x", DType::kFloat32, kSpace), DType::kBFloat16);
  const Value y = tanh(x * x);
  mark_outputs(graph, {{y, reduce_sum(y, {"length"}), tanh(cast(y, DType::kFloat32)) * 2}});
  const auto chains = make_chains(graph);
  EXPECT_EQ(count(*chains, "chain"), 2u);
  EXPECT_EQ(count(*chains, "reduce_sum"), 1u);
  EXPECT_EQ(count(*chains, "cast"), 2u);
  expect_same_bits(graph, *chains);
  const auto sum = std::make_shared<Reduce>(ReduceFunction::kSum, DimNames{"length"});
  const ValueType stored{DType::kBFloat16, kSpace};
  EXPECT_THROW(Chain(kSpace, 1, {{sum, {0}}}, {1}).infer(std::vector{stored}), Error);
}

}  // namespace
}  // namespace synthesizer
