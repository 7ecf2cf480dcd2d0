#include "core/graph/differentiate.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace synthesizer {
namespace {

constexpr DType kF64 = DType::kFloat64;
const AddGradients kAdd = [](Value a, Value b) { return a + b; };

int count(const Graph& graph, std::string_view op) {
  int n = 0;
  for (const Node& node : graph.nodes()) n += node.op->name() == op;
  return n;
}

TEST(Differentiate, AddsTheContributionsOfSeveralUses) {
  Graph graph;
  const Value w = parameter(graph, "w", kF64, {kModel(3)}, {});
  const Value loss = reduce_sum(w * w + relu(w), {"model"});
  const int before = count(graph, "add");
  const auto gradients = differentiate(loss, std::vector<Value>{w}, kAdd);
  ASSERT_TRUE(gradients[0]);
  EXPECT_EQ(gradients[0].type(), w.type());
  EXPECT_EQ(count(graph, "add") - before, 2);  // two uses in w·w and one in relu
}

TEST(Differentiate, GivesNothingForWhatTheLossDoesNotDependOn) {
  Graph graph;
  const Value w = parameter(graph, "w", kF64, {kModel(3)}, {});
  const Value unused = parameter(graph, "unused", kF64, {kModel(3)}, {});
  const auto gradients = differentiate(reduce_sum(w, {"model"}), std::vector<Value>{w, unused}, kAdd);
  EXPECT_TRUE(gradients[0]);
  EXPECT_FALSE(gradients[1]);
}

TEST(Differentiate, BuildsNoGradientThatNobodyAskedFor) {
  Graph graph;
  const Value w = parameter(graph, "w", kF64, {kModel(3)}, {});
  const Value x = input(graph, "x", kF64, {kModel(3)});
  const Value loss = reduce_sum(exp(x) * w, {"model"});
  differentiate(loss, std::vector<Value>{w}, kAdd);
  EXPECT_EQ(count(graph, "unary_gradient"), 0);  // of exp(x): x is no parameter
}

TEST(Differentiate, RefusesALossThatIsNoScalar) {
  Graph graph;
  const Value w = parameter(graph, "w", kF64, {kModel(3)}, {});
  EXPECT_THROW(differentiate(w, std::vector<Value>{w}, kAdd), Error);
}

}  // namespace
}  // namespace synthesizer
