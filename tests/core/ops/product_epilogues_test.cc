#include "core/ops/passes/product_epilogues.h"

#include <gtest/gtest.h>

#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/passes/fuse.h"
#include "tests/core/ops/graph_run.h"

namespace synthesizer {
namespace {

const Dim kRows = kLength(33), kDepth = kModel(17), kColumns = kFf(40), kEach = kHeads(5), kOwn = kHead(8);

struct Leaves {
  Graph graph;
  DType dtype;

  Value leaf(const std::string& name, const Shape& shape) { return input(graph, name, dtype, shape); }
  Value product() { return einsum(leaf("x", {kRows, kDepth}), leaf("w", {kDepth, kColumns}), {"model"}); }
};

const Einsum& only_product(const Graph& graph) {
  const Einsum* found = nullptr;
  for (const Node& node : graph.nodes())
    if (const auto* product = dynamic_cast<const Einsum*>(node.op.get())) found = product;
  return *found;
}

TEST(TakeBiases, IntoTheProduct) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16})
    for (const bool first : {false, true})
      for (const bool activated : {false, true}) {
        Leaves l{.dtype = dtype};
        const Value product = l.product(), bias = l.leaf("b", {kColumns}),
                    sum = first ? bias + product : product + bias;
        mark_outputs(l.graph, {{activated ? relu(sum) : sum}});
        const auto fused = fuse_exactly(*take_biases(l.graph));
        EXPECT_EQ(count(*fused, "add"), 0u);
        EXPECT_EQ(count(*fused, "relu"), 0u);
        EXPECT_EQ(count(*fused, "einsum"), 1u);
        EXPECT_TRUE(only_product(*fused).has_bias());
        EXPECT_EQ(only_product(*fused).epilogue(), activated ? Epilogue::kRelu : Epilogue::kNone);
        if (dtype == DType::kBFloat16)
          expect_same_results(l.graph, *fused, 0.008);  // may be rounded once less
        else
          expect_same_products(l.graph, *fused, l.dtype);
      }
}

TEST(TakeBiases, OfSeveralDims) {
  Leaves l{.dtype = DType::kFloat32};
  const Value product = einsum(l.leaf("x", {kRows, kDepth}), l.leaf("w", {kDepth, kEach, kOwn}), {"model"});
  mark_outputs(l.graph, {{product + l.leaf("b", {kEach, kOwn})}});
  const auto fused = take_biases(l.graph);
  EXPECT_EQ(count(*fused, "add"), 0u);
  expect_same_products(l.graph, *fused, l.dtype);
}

TEST(TakeBiases, LeavesWhatIsNoneOrIsRead) {
  Leaves l{.dtype = DType::kFloat32};
  const Value x = l.leaf("x", {kRows, kDepth}), w = l.leaf("w", {kDepth, kColumns});
  const Value of_rows = einsum(x, w, {"model"}) + l.leaf("rows", {kRows});
  const Value whole = einsum(x * 2.0, w, {"model"}) + l.leaf("whole", {kRows, kColumns});
  const Value scalar = einsum(x * 3.0, w, {"model"}) + l.leaf("scalar", {});
  const Value read = einsum(x * 4.0, w, {"model"}), bias = l.leaf("bias", {kColumns});
  // Of a dim that both operands have, each row of a product has its own.
  const Value batched =
      einsum_to(l.leaf("q", {kEach, kRows, kOwn}), l.leaf("k", {kEach, kColumns, kOwn}), {"length", "heads", "ff"});
  mark_outputs(l.graph, {{of_rows, whole, scalar, read, read + bias, batched + l.leaf("each", {kEach, kColumns}),
                          relu(x) + bias * l.leaf("y", {kRows, kDepth})}});
  const auto fused = take_biases(l.graph);
  EXPECT_EQ(count(*fused, "add"), count(l.graph, "add"));
}

struct FeedForward : Leaves {
  Value x, y, hidden;

  // `heads`: of another product than rows by columns.
  Value gradient(bool heads, bool biased) {
    const std::vector<Dim> columns = heads ? std::vector{kEach, kOwn} : std::vector{kColumns};
    std::vector<Dim> weight = columns;
    weight.insert(weight.begin(), kDepth);
    x = einsum(leaf("x", {kRows, kDepth}), leaf("in", Shape(weight)), {"model"});
    if (biased) x = x + leaf("b", Shape(columns));
    hidden = relu(x);
    const Value dy = einsum(leaf("dy", {kRows, kDepth}), leaf("out", Shape(weight)), {"model"});
    return graph.add_one(std::make_shared<UnaryGradient>(UnaryFunction::kRelu), {{hidden, dy}});
  }
};

TEST(UseReluMasks, InTheGradientOfFeedForward) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16})
    for (const bool biased : {false, true}) {
      FeedForward f;
      f.dtype = dtype;
      const Value dx = f.gradient(false, biased);
      mark_outputs(f.graph, {{f.hidden, dx}});
      const auto gated = fuse_exactly(*take_biases(f.graph)), masked = use_relu_masks(*gated);
      EXPECT_EQ(masked->nodes().size(), gated->nodes().size());
      size_t writes = 0, reads = 0;
      for (const Node& node : masked->nodes())
        if (const auto* product = dynamic_cast<const Einsum*>(node.op.get())) {
          writes += product->epilogue() == Epilogue::kReluWithMask;
          reads += product->epilogue() == Epilogue::kReluGradientByMask;
        }
      EXPECT_EQ(writes, 1u);
      EXPECT_EQ(reads, 1u);
      expect_same_products(*gated, *masked, dtype);
    }
}

TEST(UseReluMasks, LeavesOtherProducts) {
  FeedForward f;
  f.dtype = DType::kFloat32;
  const Value dx = f.gradient(true, true);
  mark_outputs(f.graph, {{f.hidden, dx}});
  const auto gated = fuse_exactly(*take_biases(f.graph)), masked = use_relu_masks(*gated);
  for (const Node& node : masked->nodes())
    if (const auto* product = dynamic_cast<const Einsum*>(node.op.get())) {
      EXPECT_FALSE(product->has_mask());
    }
}

}  // namespace
}  // namespace synthesizer
