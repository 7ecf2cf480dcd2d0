// The pass on graphs made by hand: what is copied, where, and what is kept. That a step's numbers do not change is
// tests/dist/recompute_test.cc's to say, what of a model is kept tests/core/train/recompute_test.cc's.
#include "core/graph/recompute.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/graph/report.h"
#include "core/ops/collectives.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"

namespace synthesizer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr DType kF32 = DType::kFloat32;

// A region is what comes before the slash, of what is in a scope at all.
std::string scope_of(const Node& node) {
  const size_t slash = node.name.find('/');
  return slash == std::string::npos || node.name.starts_with("head") ? "" : node.name.substr(0, slash);
}

// What a node reads, by name.
std::vector<std::string> inputs_of(const Graph& graph, const std::string& name) {
  std::vector<std::string> inputs;
  for (const Node& node : graph.nodes())
    if (node.name == name)
      for (const ValueRef& input : node.inputs) inputs.push_back(graph.node(input.node).name);
  return inputs;
}

std::vector<std::string> names(const Graph& graph) {
  std::vector<std::string> all;
  for (const Node& node : graph.nodes()) all.push_back(node.name);
  return all;
}

Value in_scope(const char* scope, Value x, Value (*make)(Value)) {
  const ScopedName scoped(x.graph(), scope);
  return make(x);
}

// Two regions of two nodes each, and a backward that reads all of them from the end on.
std::unique_ptr<Graph> two_regions() {
  auto graph = std::make_unique<Graph>();
  const Value x = input(*graph, "x", kF32, {kModel(4)});
  const Value a = in_scope("a", x, exp), a2 = in_scope("a", a, tanh);
  const Value b = in_scope("b", a2, exp), b2 = in_scope("b", b, tanh);
  const Value loss = in_scope("head", b2, [](Value v) { return reduce_sum(v, {kModel}); });
  graph->mark_output("loss", loss);
  const ScopedName scope(*graph, "gradient");
  const Value at_b2 = b2 * loss, at_b = b * at_b2, at_a2 = a2 * at_b, at_a = a * at_a2;
  graph->mark_output("gradient", at_a);
  return graph;
}

TEST(Recompute, CopiesStandWhereTheyAreFirstRead) {
  const auto result = recompute(*two_regions(), "loss", {.of = scope_of});
  EXPECT_THAT(names(*result),
              ElementsAre("x", "a/exp", "a/tanh", "b/exp", "b/tanh", "head/reduce_sum",
                          // nothing is kept but the input, so the first needs them all
                          "a/exp/recomputed", "a/tanh/recomputed", "b/exp/recomputed", "b/tanh/recomputed",
                          "gradient/multiply", "gradient/multiply_2", "gradient/multiply_3", "gradient/multiply_4"));
  EXPECT_THAT(inputs_of(*result, "a/exp/recomputed"), ElementsAre("x"));
  EXPECT_THAT(inputs_of(*result, "b/exp/recomputed"), ElementsAre("a/tanh/recomputed"));
  EXPECT_THAT(inputs_of(*result, "gradient/multiply_2"), ElementsAre("b/exp/recomputed", "gradient/multiply"));
  EXPECT_THAT(inputs_of(*result, "b/exp"), ElementsAre("a/tanh"));
}

TEST(Recompute, WhereResultsAreKeptARegionBeginsFromThem) {
  const auto result = recompute(*two_regions(), "loss", {.of = scope_of, .keep_results = true});
  EXPECT_THAT(names(*result), ElementsAre("x", "a/exp", "a/tanh", "b/exp", "b/tanh", "head/reduce_sum",
                                          "gradient/multiply", "b/exp/recomputed", "gradient/multiply_2",
                                          "gradient/multiply_3", "a/exp/recomputed", "gradient/multiply_4"));
  EXPECT_THAT(inputs_of(*result, "b/exp/recomputed"), ElementsAre("a/tanh"));
  EXPECT_THAT(inputs_of(*result, "gradient/multiply"), ElementsAre("b/tanh", "head/reduce_sum"));
  EXPECT_THAT(inputs_of(*result, "gradient/multiply_3"), ElementsAre("a/tanh", "gradient/multiply_2"));
}

TEST(Recompute, ACollectiveIsNeverRepeatedAndItsResultIsKept) {
  Graph graph;
  const Value x = input(graph, "x", kF32, {kModel(4)});
  const Value local = in_scope("a", x, exp);
  const Value sum = in_scope("a", local, [](Value v) {
    return v.graph().add_one(std::make_shared<AllReduce>("tensor", Reduction::kSum), std::vector<Value>{v});
  });
  const Value y = in_scope("a", sum, tanh), z = in_scope("a", y, relu);
  const Value loss = in_scope("head", z, [](Value v) { return reduce_sum(v, {kModel}); });
  graph.mark_output("loss", loss);
  graph.mark_output("gradient", y * local);
  for (const bool keep_results : {false, true}) {
    const auto result = recompute(graph, "loss", {.of = scope_of, .keep_results = keep_results});
    EXPECT_THAT(names(*result), ElementsAre("x", "a/exp", "a/all_reduce", "a/tanh", "a/relu", "head/reduce_sum",
                                            "a/tanh/recomputed", "a/exp/recomputed", "multiply"));
    EXPECT_THAT(inputs_of(*result, "a/tanh/recomputed"), ElementsAre("a/all_reduce"));
  }
}

// The bucket pass may reduce the loss together with gradients: these are not what it depends on.
TEST(Recompute, ALossInABucketWithGradientsIsOfForwardAlone) {
  Graph graph;
  const Value x = input(graph, "x", kF32, {kModel(4)});
  const Value y = in_scope("a", x, exp), z = in_scope("a", y, tanh);
  const Value loss = in_scope("head", z, [](Value v) { return reduce_sum(v, {kModel}); });
  const Value gradient = in_scope("back", y * z, exp);
  const std::vector<Value> sums =
      graph.add(std::make_shared<AllReduce>("data", Reduction::kSum, 2), std::vector<Value>{gradient, loss});
  graph.mark_output("gradient", sums[0]);
  graph.mark_output("loss", sums[1]);
  const std::vector<std::string> made = names(*recompute(graph, "loss", {.of = scope_of}));
  EXPECT_THAT(made, testing::IsSupersetOf({"a/exp/recomputed", "a/tanh/recomputed"}));
}

TEST(Recompute, WhatAnOutputKeepsIsNotMadeAgain) {
  Graph graph;
  const Value x = input(graph, "x", kF32, {kModel(4)});
  const Value y = in_scope("a", x, exp);
  graph.mark_output("loss", in_scope("head", y, [](Value v) { return reduce_sum(v, {kModel}); }));
  graph.mark_output("y", y);
  graph.mark_output("gradient", y * x);
  EXPECT_THAT(names(*recompute(graph, "loss", {.of = scope_of})),
              ElementsAre("x", "a/exp", "head/reduce_sum", "multiply"));
}

TEST(Recompute, NeedsItsLoss) { EXPECT_THROW(recompute(*two_regions(), "los", {.of = scope_of}), Error); }

TEST(Recompute, ProductsMadeAgainAreNotTheModels) {
  Graph graph;
  const Value x = input(graph, "x", kF32, {kBatch(3), kModel(4)});
  const Value w = parameter(graph, "w", kF32, {kModel(4), kFf(5)}, {});
  Value y;
  {
    const ScopedName scope(graph, "a");
    y = einsum(x, w, {kModel});
  }
  graph.mark_output("loss", in_scope("head", y, [](Value v) { return reduce_sum(v, {kBatch, kFf}); }));
  graph.mark_output("gradient", exp(y));
  const auto result = recompute(graph, "loss", {.of = scope_of});
  EXPECT_EQ(product_flops(graph), 2 * 3 * 4 * 5);
  EXPECT_EQ(recomputed_flops(graph), 0);
  EXPECT_EQ(product_flops(*result), 2 * 3 * 4 * 5);
  EXPECT_EQ(recomputed_flops(*result), 2 * 3 * 4 * 5);
  // A copy is placed as what it is a copy of.
  for (const NodeReport& node : report_nodes(*result, {{"a/einsum", {Placement::split("ff")}}}))
    EXPECT_EQ(node.placement, node.name.starts_with("a/") ? "split(ff)" : "whole") << node.name;
}

}  // namespace
}  // namespace synthesizer
