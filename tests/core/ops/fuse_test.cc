#include "core/ops/passes/fuse.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/ops/cast.h"
#include "core/ops/dropout.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/reduce.h"
#include "core/ops/rms_norm.h"
#include "tests/core/ops/graph_run.h"

namespace synthesizer {
namespace {

const Shape kTable{kVocab(31), kModel(5)};

struct Built {
  Graph graph;
  Value x;

  Built() { x = input(graph, "x", DType::kFloat64, kTable); }
  // The gradient of an embedding with ids and dy of its own.
  Value rows(const std::string& name, const Shape& table = kTable) {
    const Value ids = input(graph, name + ".ids", DType::kInt32, {kLength(7)});
    const Value dy = input(graph, name + ".dy", DType::kFloat64, {kLength(7), table.dims()[1]});
    return graph.add_one(std::make_shared<EmbeddingGradient>(table.dims()[0], 0, false), {{ids, dy}});
  }
};

TEST(Fuse, AddsRowsOntoTheOtherGradient) {
  for (const bool rows_first : {false, true}) {
    Built b;
    const Value rows = b.rows("a");
    mark_outputs(b.graph, {{rows_first ? rows + b.x : b.x + rows}});
    const auto fused = fuse(b.graph);
    EXPECT_EQ(count(*fused, "add"), 0u);
    EXPECT_EQ(count(*fused, "embedding_gradient"), 1u);
    expect_same_results(b.graph, *fused, 1e-15);
  }
}

TEST(Fuse, Chains) {
  Built b;
  const Value first = b.rows("a"), second = b.rows("b"), third = b.rows("c");
  mark_outputs(b.graph, {{(second + first) + b.x + third}});
  const auto fused = fuse(b.graph);
  EXPECT_EQ(count(*fused, "embedding_gradient"), 3u);
  EXPECT_EQ(count(*fused, "add"), 1u);  // two sums of rows and x: one of the three has to begin with no base
  expect_same_results(b.graph, *fused, 1e-15);
}

// The gradient of a weight: a product of activations in bf16, or a sum of them, in f32.
TEST(Fuse, WidensWhatIsCastFromBFloat16) {
  Graph graph;
  const Value x = input(graph, "x", DType::kBFloat16, {kLength(7), kModel(5)});
  const Value dy = input(graph, "dy", DType::kBFloat16, {kLength(7), kFf(3)});
  const Value product = einsum(x, dy, {kLength}), sum = reduce_sum(dy, {kLength});
  mark_outputs(graph, {{cast(product, DType::kFloat32), cast(sum, DType::kFloat32)}});
  const auto fused = fuse(graph);
  EXPECT_EQ(count(*fused, "cast"), 0u);
  const auto before = run(graph), after = run(*fused);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(difference(after[i], before[i], 0.005), "");
    EXPECT_NE(difference(after[i], before[i], 1e-6), "") << "was rounded to bf16";
  }

  graph.mark_output("product", product);  // which others use in bf16
  EXPECT_EQ(count(*fuse(graph), "cast"), 1u);
}

TEST(Fuse, LeavesWhatOthersUse) {
  Built b;
  const Value rows = b.rows("a"), marked = b.rows("b");
  mark_outputs(b.graph, {{b.x + rows, relu(rows), b.x + marked, marked}});
  const auto fused = fuse(b.graph);
  EXPECT_EQ(count(*fused, "add"), 2u);
  expect_same_results(b.graph, *fused, 1e-15);
}

TEST(Fuse, LeavesOtherShapes) {
  Built b;
  const Value scalar = input(b.graph, "scalar", DType::kFloat64, {});
  mark_outputs(b.graph, {{scalar + b.rows("a")}});
  const auto fused = fuse(b.graph);
  EXPECT_EQ(count(*fused, "add"), 1u);
  expect_same_results(b.graph, *fused, 1e-15);
}

// The hidden layer of a feed-forward network with dropout, and its gradient.
struct Dropped {
  Graph graph;
  Value hidden, dropped, dx;

  explicit Dropped(uint64_t seed_of_gradient) {
    const Shape shape{kLength(31), kFf(33)};
    const Value x = input(graph, "x", DType::kFloat64, shape) - input(graph, "y", DType::kFloat64, shape);
    const Value step = input(graph, "step", DType::kInt64, {});
    hidden = relu(x);
    dropped = dropout(hidden, 0.25, {"length"}, step, 7);
    const Dropout& forward = dynamic_cast<const Dropout&>(*dropped.node().op);
    const auto backward = std::make_shared<Dropout>(forward.rate(), seed_of_gradient, forward.name_hash(),
                                                    forward.shared(), forward.block());
    const Value dy = graph.add_one(backward, {{input(graph, "dy", DType::kFloat64, shape), step}});
    dx = graph.add_one(std::make_shared<UnaryGradient>(UnaryFunction::kRelu), {{hidden, dy}});
    mark_outputs(graph, {{dropped, dx}});
  }
};

TEST(Fuse, TakesReluGradientsFromWhatTheMaskHasKept) {
  Dropped same(7);
  const auto fused = fuse(same.graph);
  const Node& gradient = fused->node(fused->outputs()[1].second.node);
  EXPECT_EQ(fused->node(gradient.inputs[0].node).op->name(), "dropout");
  EXPECT_EQ(gradient.inputs[0], fused->outputs()[0].second);
  expect_same_results(same.graph, *fused, 1e-15);
  // With another mask an element that is dropped may have a gradient.
  Dropped other(8);
  const auto left = fuse(other.graph);
  EXPECT_EQ(left->node(left->node(left->outputs()[1].second.node).inputs[0].node).op->name(), "relu");
}

struct Rows {
  Graph graph;
  Value x, y, dx, scale;

  Rows() {
    const Shape shape{kLength(7), kModel(33)};
    x = input(graph, "x", DType::kFloat32, shape);
    y = input(graph, "y", DType::kFloat32, shape);
    dx = input(graph, "dx", DType::kFloat32, shape);
    scale = input(graph, "scale", DType::kFloat32, {kModel(33)});
  }
  std::vector<Value> norm(Value v) { return graph.add(std::make_shared<RmsNorm>("model", 1e-6), {{v, scale}}); }
  std::vector<Value> gradient(Value v, Value r, Value dy) {
    return graph.add(std::make_shared<RmsNormGradient>("model"), {{v, scale, r, dy}});
  }
};

TEST(FuseExactly, NormalisesTheSumAndAddsItsGradient) {
  for (const bool swapped : {false, true}) {
    Rows rows;
    const Value sum = rows.x + rows.y;
    const std::vector<Value> norm = rows.norm(sum);
    const std::vector<Value> gradient = rows.gradient(sum, norm[1], norm[0]);
    const Value all = swapped ? gradient[0] + rows.dx : rows.dx + gradient[0];
    mark_outputs(rows.graph, {{all, gradient[1], sum * 2.0}});
    const auto fused = fuse_exactly(rows.graph);
    EXPECT_EQ(count(*fused, "add"), 0u);
    EXPECT_EQ(count(*fused, "rms_norm"), 1u);
    EXPECT_EQ(count(*fused, "rms_norm_gradient"), 1u);
    expect_same_bits(rows.graph, *fused);
  }
}

TEST(FuseExactly, LeavesWhatIsReadBefore) {
  Rows rows;
  const Value sum = rows.x + rows.y;
  const Value between = relu(sum);  // needs the sum before the norm
  const std::vector<Value> norm = rows.norm(sum);
  const std::vector<Value> gradient = rows.gradient(between, norm[1], norm[0]);
  const Value dscale = relu(gradient[1]);
  mark_outputs(rows.graph, {{rows.dx + gradient[0], dscale}});
  const auto fused = fuse_exactly(rows.graph);
  EXPECT_EQ(count(*fused, "add"), 2u);
  expect_same_bits(rows.graph, *fused);
}

TEST(FuseExactly, LeavesCopiesOfRecompute) {
  Rows rows;
  const Value sum = rows.x + rows.y;
  const auto norm =
      rows.graph.add_named(std::make_shared<RmsNorm>("model", 1e-6), {{sum, rows.scale}}, "norm/recomputed");
  mark_outputs(rows.graph, {{norm[0]}});
  EXPECT_EQ(count(*fuse_exactly(rows.graph), "add"), 1u);
}

struct FeedForward {
  Graph graph;
  Value x, dy;  // dy: of the product's result before relu, as a product

  explicit FeedForward(DType dtype) {
    x = einsum(input(graph, "x", dtype, {kLength(33), kModel(17)}), input(graph, "in", dtype, {kModel(17), kFf(40)}),
               {"model"});
    dy = einsum(input(graph, "dy", dtype, {kLength(33), kModel(17)}), input(graph, "out", dtype, {kFf(40), kModel(17)}),
                {"model"});
  }
  Value gradient(Value y) { return graph.add_one(std::make_shared<UnaryGradient>(UnaryFunction::kRelu), {{y, dy}}); }
};

TEST(FuseExactly, TakesReluAndItsGradientIntoProducts) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16}) {
    FeedForward f(dtype);
    const Value y = relu(f.x);
    mark_outputs(f.graph, {{y, f.gradient(y)}});
    const auto fused = fuse_exactly(f.graph);
    EXPECT_EQ(count(*fused, "einsum"), 2u);
    EXPECT_EQ(count(*fused, "relu"), 0u);
    EXPECT_EQ(count(*fused, "unary_gradient"), 0u);
    expect_same_products(f.graph, *fused, dtype);
  }
}

TEST(FuseExactly, LeavesProductsThatOthersRead) {
  FeedForward f(DType::kFloat32);
  const Value y = relu(f.x);
  mark_outputs(f.graph, {{y, f.gradient(y), f.x * 2.0, f.dy * 2.0}});
  const auto fused = fuse_exactly(f.graph);
  EXPECT_EQ(count(*fused, "relu"), 1u);
  EXPECT_EQ(count(*fused, "unary_gradient"), 1u);
  expect_same_bits(f.graph, *fused);
}

}  // namespace
}  // namespace synthesizer
