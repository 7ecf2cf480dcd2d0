#include "core/graph/passes.h"

#include <gtest/gtest.h>

#include "core/graph/leaf.h"
#include "core/ops/elementwise.h"
#include "core/ops/update.h"

namespace synthesizer {
namespace {

constexpr DType kF32 = DType::kFloat32;

TEST(Passes, DeadNodesGoButLeavesAndUpdatesStay) {
  Graph graph;
  const Value w = parameter(graph, "w", kF32, {kModel(4)}, {});
  const Value x = input(graph, "x", kF32, {kModel(4)});
  exp(x);  // dead
  assign(w, relu(x), constant(graph, kF32, {}, 1));
  const auto result = eliminate_dead(graph);
  EXPECT_EQ(result->nodes().size(), graph.nodes().size() - 1);
  EXPECT_TRUE(result->leaf("w"));
  for (const Node& node : result->nodes()) EXPECT_NE(node.op->name(), "exp");
}

TEST(Passes, EqualNodesBecomeOneAndOutputsFollow) {
  Graph graph;
  const Value x = input(graph, "x", kF32, {kModel(4)});
  graph.mark_output("a", relu(x) * 2.0);
  graph.mark_output("b", relu(x) * 2.0);
  graph.mark_output("c", relu(x) * 3.0);
  const auto result = merge_common(graph);
  EXPECT_EQ(result->nodes().size(), 4u);  // x, relu, ·2, ·3
  EXPECT_EQ(result->outputs()[0].second, result->outputs()[1].second);
  EXPECT_NE(result->outputs()[0].second, result->outputs()[2].second);
}

TEST(Passes, UpdatesAreNeverMerged) {
  Graph graph;
  const Value w = parameter(graph, "w", kF32, {kModel(4)}, {});
  const Value v = parameter(graph, "v", kF32, {kModel(4)}, {});
  const Value one = constant(graph, kF32, {}, 1), value = constant(graph, kF32, {kModel(4)}, 5);
  assign(w, value, one);
  assign(v, value, one);
  EXPECT_EQ(merge_common(graph)->nodes().size(), graph.nodes().size());
}

}  // namespace
}  // namespace synthesizer
