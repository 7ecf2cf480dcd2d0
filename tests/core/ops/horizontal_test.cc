// Which nodes of updates are put together and which are not; and that no bit changes.
#include "core/ops/horizontal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/ops/chain.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/passes/chain_pass.h"
#include "core/ops/passes/horizontal_pass.h"
#include "core/ops/reduce.h"
#include "core/ops/update.h"
#include "tests/core/ops/drawn_graph.h"
#include "tests/core/ops/op_runner.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr DType kF32 = DType::kFloat32;
const Shape kLarge{kModel(257), kFf(67)};  // more than what may live longer

// Parameters with gradients, and what decides on their updates: whether their norm is finite.
struct Built {
  Graph graph;
  std::vector<Value> parameters, gradients;
  Value rate, step, apply;

  explicit Built(const std::vector<Shape>& shapes) {
    Value norm;
    for (size_t i = 0; i < shapes.size(); ++i) {
      const std::string name = fmt::format("p{}", i);
      parameters.push_back(parameter(graph, name, kF32, shapes[i], Initializer::truncated_normal(0.5)));
      const Value x = input(graph, "x" + std::to_string(i), kF32, shapes[i]);
      gradients.push_back(tanh(reduce_max(x, x.shape().names())) * parameters[i]);
      const Value squares = sum_squares(gradients[i]);
      norm = norm ? norm + squares : squares;
    }
    apply = is_finite(norm);
    rate = constant(graph, kF32, {}, 0.125);
    step = input(graph, "step", DType::kInt64, {});
  }
  Value made(const std::string& name, const Shape& shape) { return state(graph, name, kF32, shape, {}); }
  void add_adamw(size_t i, const AdamWOptions& options = {}, bool in_place = true) {
    const Shape& shape = parameters[i].shape();
    const std::string name = "p" + std::to_string(i);
    const AdamWState now = adamw(parameters[i], made(name + ".first", shape), made(name + ".second", shape),
                                 gradients[i], rate, rate, step, apply, options, in_place);
    if (!in_place) assign(parameters[i], now.parameter, apply);
  }
};

std::vector<const HorizontalFusion*> fusions(const Graph& graph) {
  std::vector<const HorizontalFusion*> found;
  for (const Node& node : graph.nodes())
    if (const auto* fusion = dynamic_cast<const HorizontalFusion*>(node.op.get())) found.push_back(fusion);
  return found;
}

// How many parts of each op the fusions have, ascending: "adamw 3, chain 3".
std::string parts_of(const Graph& graph) {
  std::multiset<std::string> parts;
  for (const HorizontalFusion* fusion : fusions(graph))
    parts.insert(fmt::format("{} {}", fusion->parts()[0].op->name(), fusion->parts().size()));
  return fmt::format("{}", fmt::join(parts, ", "));
}

TEST(HorizontalFusion, PutsTheUpdatesOfAllParametersTogether) {
  Built b({kLarge, {kModel(20011)}, {kModel(131), kFf(133)}});
  for (size_t i = 0; i < 3; ++i) b.add_adamw(i);
  const auto fused = fuse_horizontally(b.graph);
  EXPECT_EQ(parts_of(*fused), "adamw 3, chain 3");  // with the sums of their squares
  EXPECT_EQ(count(*fused, "adamw"), 0u);
  EXPECT_EQ(count(*fused, "sum_squares"), 0u);
  expect_same_bits(b.graph, *fused);
}

TEST(HorizontalFusion, KeepsOptionsApart) {
  Built b({kLarge, kLarge, {kModel(20011)}, {kModel(20011)}});
  for (size_t i = 0; i < 4; ++i) b.add_adamw(i, {0.9, 0.999, 1e-8, i % 2 == 0 ? 0.0 : 0.125});
  const auto fused = fuse_horizontally(b.graph);
  EXPECT_EQ(parts_of(*fused), "adamw 2, adamw 2, chain 4");
  expect_same_bits(b.graph, *fused);
}

// New parameters live until all of a node are made: so many at once that they are not more than 32 MiB.
TEST(HorizontalFusion, GivesNewParametersTogether) {
  Built b({kLarge, kLarge, {kModel(20011)}});
  for (size_t i = 0; i < 3; ++i) b.add_adamw(i, {}, false);
  const auto fused = fuse_horizontally(b.graph);
  EXPECT_EQ(count(*fused, "adamw"), 0u);
  expect_same_bits(b.graph, *fused);
}
TEST(HorizontalFusion, GivesNoMoreThanAFewLargeTensorsTogether) {
  const Shape ten{kModel(10 << 10), kFf(256)}, forty{kModel(40 << 10), kFf(256)};  // MiB
  Built b({ten, ten, forty, ten, ten, ten});
  for (size_t i = 0; i < 6; ++i) b.add_adamw(i, {}, false);
  const auto fused = fuse_horizontally(b.graph);
  EXPECT_THAT(parts_of(*fused), AllOf(HasSubstr("adamw 3"), HasSubstr("adamw 2")));
  EXPECT_EQ(count(*fused, "adamw"), 1u);
}

// A gradient that is read before it is known whether there is an update, and not after, would have to live until then.
TEST(HorizontalFusion, LeavesWhatReadsLargeTensorsThatAreDoneWith) {
  Graph graph;
  const Value on = is_finite(reduce_sum(input(graph, "loss", kF32, {kModel(3)}), {"model"}));
  for (int i = 0; i < 2; ++i) {
    const Value x = input(graph, fmt::format("x{}", i), kF32, kLarge);
    assign(state(graph, fmt::format("s{}", i), kF32, {kModel(257)}, {}), sum_squares(x * x, {"ff"}), on);
  }
  const auto chained = make_chains(graph);
  const auto fused = fuse_horizontally(*chained);
  // The sums are chains of one node with the products; the updates alone are put together.
  EXPECT_EQ(parts_of(*fused), "chain 2");
  EXPECT_EQ(count(*fused, "chain"), 2u);
  expect_same_bits(graph, *fused);
}

// An update waits for who reads the value before it.
TEST(HorizontalFusion, ReadersComeBeforeUpdates) {
  Graph graph;
  const Value on = is_finite(input(graph, "loss", kF32, {}));
  std::vector<Value> states;
  for (int i = 0; i < 3; ++i) states.push_back(state(graph, fmt::format("s{}", i), kF32, {kModel(33)}, {}));
  // Each takes the value of the next, in a ring: none of them may be put together with another.
  const Value first = states[0] * 2;
  assign(states[0], states[1] + 1, on);
  assign(states[1], states[2] + 1, on);
  assign(states[2], first, on);
  const auto fused = fuse_horizontally(*make_chains(graph));
  EXPECT_EQ(fusions(*fused).size(), 0u);
  expect_same_bits(graph, *fused);
}

TEST(HorizontalFusion, NoBitChangesInGraphsDrawnAtRandom) {
  size_t parts = 0;
  for (uint32_t seed = 0; seed < 24; ++seed) {
    SCOPED_TRACE(seed);
    Graph graph;
    draw_graph(graph, seed);
    const auto chained = make_chains(graph, true);
    for (const Graph* before : {&graph, chained.get()}) {
      const auto fused = fuse_horizontally(*before);
      for (const HorizontalFusion* fusion : fusions(*fused)) parts += fusion->parts().size();
      expect_same_bits(graph, *fused);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(parts, 60u);
}

TEST(HorizontalFusion, RefusesPartsThatDoNotFit) {
  EXPECT_THROW(HorizontalFusion({}), Error);
  const auto tanh = std::make_shared<Unary>(UnaryFunction::kTanh);
  const ValueType x{kF32, {kModel(3)}};
  EXPECT_THROW(HorizontalFusion({{tanh, 1, 1}, {tanh, 1, 1}}).infer(std::vector{x}), Error);  // too few inputs
  EXPECT_THROW(HorizontalFusion({{tanh, 1, 2}}).infer(std::vector{x}), Error);                // too few results
}

}  // namespace
}  // namespace synthesizer
