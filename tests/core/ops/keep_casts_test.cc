// Which casts become copies that live between steps, who writes them, and that no bit changes.
#include "core/ops/passes/keep_casts.h"

#include <gtest/gtest.h>

#include <functional>

#include "core/graph/leaf.h"
#include "core/ops/cast.h"
#include "core/ops/chain.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/passes/chain_pass.h"
#include "core/ops/update.h"
#include "tests/core/ops/op_runner.h"

namespace synthesizer {
namespace {

constexpr DType kF32 = DType::kFloat32, kBF16 = DType::kBFloat16;
const Shape kWeight{kModel(31), kFf(33)};

// A layer's output and its weight's gradient, in f32.
struct Built {
  Graph graph;
  Value w, gradient, on;

  explicit Built(double apply = 1) {
    w = parameter(graph, "w", kF32, kWeight, Initializer::truncated_normal(0.5));
    const Value x = cast(input(graph, "x", kF32, {kLength(7), kModel(31)}), kBF16);
    const Value y = einsum(x, w, {"model"});
    graph.mark_output("y", cast(y, kF32));
    gradient = cast(einsum(x, y * cast(reduce_weight(), kBF16), {"length"}), kF32);
    on = constant(graph, kF32, {}, apply);
  }
  // The weight is read a second time.
  Value reduce_weight() { return reduce_max(cast(w, kBF16), {"model"}); }

  void add_adamw() {
    const Value first = state(graph, "first", kF32, kWeight, {}), second = state(graph, "second", kF32, kWeight, {});
    const Value rate = constant(graph, kF32, {}, 0.125), step = input(graph, "step", DType::kInt64, {});
    adamw(w, first, second, gradient, rate, rate, step, on, {});
  }
};

// What is kept and given, after some runs.
std::vector<Tensor> run(Graph& graph, int threads) {
  OpRunner runner(graph, {}, nullptr, threads);
  for (const Node& node : graph.nodes()) {
    if (node.op->name() != "input" || node.outputs[0].dtype != kF32) continue;
    Tensor value(node.outputs[0].shape);
    for (size_t e = 0; e < value.data.size(); ++e) value.data[e] = static_cast<float>(random01(3, e) - 0.4);
    runner.set(node.name, value);
  }
  std::vector<Tensor> results;
  for (int i = 0; i < 3; ++i) {
    runner.run();
    for (const auto& [name, ref] : graph.outputs()) results.push_back(runner.get(name));
    results.push_back(runner.get("w"));
  }
  return results;
}

void expect_same_bits(Graph& before, Graph& after) {
  const std::vector<Tensor> expected = run(before, 1);
  for (const int threads : {1, 3}) {
    const std::vector<Tensor> got = run(after, threads);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].data, expected[i].data) << "result " << i;
  }
}

size_t casts_of(const Graph& graph, const std::string& leaf) {
  size_t casts = 0;
  for (const Node& node : graph.nodes())
    casts += node.op->name() == "cast" && graph.node(node.inputs[0].node).name == leaf;
  return casts;
}

TEST(KeepCasts, AdamWWritesTheCopy) {
  for (const double apply : {1.0, 0.0}) {
    Built b(apply);
    b.add_adamw();
    EXPECT_EQ(casts_of(b.graph, "w"), 2u);
    const auto kept = keep_casts(b.graph);
    EXPECT_EQ(casts_of(*kept, "w"), 0u);
    EXPECT_EQ(kept->nodes().size(), b.graph.nodes().size() - 1);  // two casts less, a leaf more
    const Value copy = kept->leaf("w.bf16");
    ASSERT_TRUE(copy);
    EXPECT_EQ(copy.type(), (ValueType{kBF16, kWeight}));
    EXPECT_EQ(copy.node().id, kept->leaf("w").node().id + 1);
    const Node& adamw = kept->nodes().back();
    EXPECT_EQ(adamw.op->name(), "adamw");
    EXPECT_EQ(adamw.inputs.back(), copy.ref());
    expect_same_bits(b.graph, *kept);
  }
}

TEST(KeepCasts, AnAssignBecomesTwoThatAreOneChain) {
  for (const double apply : {1.0, 0.0}) {
    Built b(apply);
    assign(b.w, b.w - b.gradient * 0.125, b.on);
    const auto kept = keep_casts(b.graph);
    EXPECT_EQ(count(*kept, "assign"), 2u);
    const auto chained = make_chains(*kept);
    EXPECT_EQ(count(*chained, "assign"), 0u);
    EXPECT_EQ(count(*chained, "chain"), 1u);
    expect_same_bits(b.graph, *kept);
    expect_same_bits(b.graph, *chained);
  }
}

// As ZeRO has it: the value comes from elsewhere.
TEST(KeepCasts, AnAssignOfWhatIsGivenIsAChainToo) {
  Built b;
  assign(b.w, input(b.graph, "given", kF32, kWeight), b.on);
  const auto chained = make_chains(*keep_casts(b.graph));
  EXPECT_EQ(count(*chained, "assign"), 0u);
  EXPECT_EQ(count(*chained, "chain"), 1u);
  expect_same_bits(b.graph, *chained);
}

TEST(KeepCasts, AWeightThatNothingUpdatesHasACopyToo) {
  Built b;
  const auto kept = keep_casts(b.graph);
  EXPECT_TRUE(kept->leaf("w.bf16"));
  EXPECT_EQ(casts_of(*kept, "w"), 0u);
  expect_same_bits(b.graph, *kept);
}

TEST(KeepCasts, OthersStay) {
  Built b;
  const Value moment = state(b.graph, "moment", kF32, kWeight, {});
  b.graph.mark_output("result", cast(b.w, kBF16));  // of the step: after the update it would be another
  b.graph.mark_output("moment", reduce_max(cast(moment, kBF16), {"model"}));  // no parameter
  b.graph.mark_output("wide", reduce_max(cast(b.w, DType::kFloat64), {"model"}));
  b.add_adamw();
  const auto kept = keep_casts(b.graph);
  EXPECT_EQ(casts_of(*kept, "w"), 2u);
  EXPECT_EQ(casts_of(*kept, "moment"), 1u);
  EXPECT_FALSE(kept->leaf("moment.bf16"));
  expect_same_bits(b.graph, *kept);
}

TEST(KeepCasts, NothingChangesWithoutCasts) {
  Graph graph;
  const Value w = parameter(graph, "w", kF32, kWeight, {});
  assign(w, w * 2.0, constant(graph, kF32, {}, 1));
  const auto kept = keep_casts(graph);
  ASSERT_EQ(kept->nodes().size(), graph.nodes().size());
  for (const Node& node : graph.nodes()) EXPECT_EQ(kept->node(node.id).name, node.name);
}

}  // namespace
}  // namespace synthesizer
