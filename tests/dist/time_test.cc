// Times of ops, collectives and steps against what the roofline, α and β give by hand.
#include "dist/time.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/collectives.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/shape.h"
#include "dist/parallel.h"
#include "tests/dist/layout_run.h"

namespace synthesizer {
namespace {

DeviceRates device() {
  DeviceRates d;
  d.name = "by hand";
  d.memory_bytes = 1 << 30;
  d.memory_bandwidth = 1e9;
  d.vector_flops = 1e9;
  d.op_seconds = 1e-6;
  d.products = {.peak = 1e12, .reached = 0.5, .half_rows = 8, .half_columns = 16, .half_depth = 32};
  d.ranks_per_host = 4;
  d.inside = {1e-6, 1e9};
  d.between = {1e-5, 1e8};
  return d;
}

OpTime time_of(const Value& value, const DeviceRates& d) {
  std::vector<ValueType> inputs;
  for (const ValueRef& ref : value.node().inputs) inputs.push_back(value.graph().type(ref));
  return op_time(*value.node().op, inputs, value.node().outputs, d);
}

TEST(TimeOfAnOp, ProductsAreTakenByTheirThreeSizes) {
  Graph graph;
  const Value a = input(graph, "a", DType::kFloat32, {{"batch", 4}, {"length", 8}, {"model", 64}});
  const Value b = input(graph, "b", DType::kFloat32, {{"model", 64}, {"ff", 32}});
  DeviceRates d = device();
  d.memory_bandwidth = 1e15;
  const OpTime time = time_of(einsum(a, b, {"model"}), d);
  // m 32, n 32, k 64: 2·32·32·64 operations at half of 1e12, and 1/4, 1/2 and 1/2 more
  EXPECT_NEAR(time.compute, 131072 / 0.5e12 * 2.25, 1e-15);
  EXPECT_FALSE(time.memory_bound());
  EXPECT_NEAR(time.seconds(), time.compute + 1e-6, 1e-15);
  // A dim of both and of the output is no size of the product.
  const Value c = input(graph, "c", DType::kFloat32, {{"batch", 4}, {"model", 64}, {"ff", 32}});
  const Value product = einsum_to(a, c, {"batch", "length", "ff"});
  const std::vector<ValueType> types = {a.type(), c.type()};
  const ProductSize size = product_size(*product.node().op, types, product.node().outputs);
  EXPECT_EQ(size.m, 8);
  EXPECT_EQ(size.n, 32);
  EXPECT_EQ(size.k, 64);
}

TEST(TimeOfAnOp, TheLongerOfOperationsAndBytesCounts) {
  Graph graph;
  const Value a = input(graph, "a", DType::kFloat32, {{"model", 1000}});
  const Value sum = a + a;
  DeviceRates d = device();
  OpTime time = time_of(sum, d);  // 1,000 operations: 1 µs; 12,000 bytes: 12 µs
  EXPECT_TRUE(time.memory_bound());
  EXPECT_NEAR(time.seconds(), 12e-6 + 1e-6, 1e-15);
  d.vector_flops = 1e7;  // 100 µs
  time = time_of(sum, d);
  EXPECT_FALSE(time.memory_bound());
  EXPECT_NEAR(time.seconds(), 100e-6 + 1e-6, 1e-15);
  d.slowdown["add"] = 3;
  EXPECT_NEAR(time_of(sum, d).seconds(), 300e-6 + 1e-6, 1e-15);
}

TEST(TimeOfAnOp, LooksUpCostTheRowsTheyTake) {
  Graph graph;
  const Value table = parameter(graph, "table", DType::kFloat32, {{"vocab", 100000}, {"model", 10}}, {});
  const Value ids = input(graph, "ids", DType::kInt32, {{"length", 5}});
  EXPECT_NEAR(time_of(embedding(table, ids), device()).memory, (5 * 4 + 2 * 200) / 1e9, 1e-18);
  const Value x = input(graph, "x", DType::kFloat32, {{"position", 100}});
  EXPECT_NEAR(time_of(slice(x, "position", 0, 10), device()).memory, 2 * 40 / 1e9, 1e-18);
}

struct CollectiveCase {
  Collective kind;
  int64_t block;
  int ranks;
  CollectiveSteps steps;
  double messages, bytes;
  Wire wire = Wire::kFull;
};

TEST(TimeOfACollective, IsMessagesTimesAlphaAndBytesOverBeta) {
  constexpr int64_t kMiB = 1 << 20;
  const LinkRate link{1e-3, 1e6};
  const CollectiveCase cases[] = {
      // Both phases, log2 8 messages each; 2·7/8 of the block.
      {Collective::kAllReduce, 8000, 8, CollectiveSteps::kTree, 6, 14000},
      {Collective::kAllGather, 1000, 8, CollectiveSteps::kTree, 3, 7000},
      {Collective::kReduceScatter, 1000, 6, CollectiveSteps::kTree, 3, 5000},
      // 32 MiB in four pieces of 8 MiB; two phases of 3 messages.
      {Collective::kAllReduce, 32 * kMiB, 4, CollectiveSteps::kDirect, 24, 48.0 * kMiB},
      // 4 blocks of 2 MiB are one piece, of 4 MiB two.
      {Collective::kAllGather, 2 * kMiB, 4, CollectiveSteps::kDirect, 3, 6.0 * kMiB},
      {Collective::kAllToAll, 4 * kMiB, 4, CollectiveSteps::kDirect, 6, 12.0 * kMiB},
      // As bfloat16, of float32 in pieces of 8 MiB.
      {Collective::kAllReduce, 16 * kMiB, 4, CollectiveSteps::kDirect, 24, 24.0 * kMiB, Wire::kBFloat16},
      {Collective::kReduceScatter, 2 * kMiB, 4, CollectiveSteps::kDirect, 6, 6.0 * kMiB, Wire::kBFloat16},
      // Small: every rank sends its whole block to each other.
      {Collective::kAllReduce, 1000, 4, CollectiveSteps::kDirect, 3, 3000},
      {Collective::kAllReduce, 1000, 1, CollectiveSteps::kDirect, 0, 0},
  };
  for (const CollectiveCase& c : cases)
    EXPECT_NEAR(collective_seconds(c.kind, c.block, c.ranks, link, c.steps, c.wire), c.messages * 1e-3 + c.bytes / 1e6,
                1e-9)
        << to_string(c.kind) << " of " << c.block << " among " << c.ranks;
}

TEST(TimeOfACollective, TensorRanksShareAHostFirst) {
  const DeviceRates d = device();  // four ranks a host
  const auto inside = [&](int data, int tensor, std::string_view axis) {
    return &link_of({{{"data", data}, {"tensor", tensor}}}, axis, d) == &d.inside;
  };
  EXPECT_TRUE(inside(8, 4, "tensor"));
  EXPECT_FALSE(inside(8, 4, "data"));
  EXPECT_TRUE(inside(2, 2, "data"));
  EXPECT_FALSE(inside(4, 2, "data"));
  EXPECT_FALSE(inside(1, 8, "tensor"));
  EXPECT_FALSE(inside(1, 3, "tensor"));  // three a host of four: some of them span two
  EXPECT_THROW(inside(1, 1, "pipeline"), Error);
}

struct Sizes {
  StepTime alone, shared;
};

// A step of a small model on one rank and on four data ranks.
Sizes step_times(const DeviceRates& d) {
  const StepGraphOptions options = layout_options({"", "R+V", "D"}, DType::kFloat32);
  const MeshShape one{{{"data", 1}, {"tensor", 1}}}, four{{{"data", 4}, {"tensor", 1}}};
  const auto time = [&](const MeshShape& shape) {
    const auto graph = training_graph(options, partition_for(Mesh::fake(shape, 0), default_layout()));
    return time_step(*graph, shape, d);
  };
  return {time(one), time(four)};
}

TEST(TimeOfAStep, AddsUp) {
  const Sizes times = step_times(device());
  EXPECT_EQ(times.alone.communication, 0);
  EXPECT_NEAR(times.alone.exposed, 0, 1e-12);
  for (const StepTime& time : {times.alone, times.shared}) {
    EXPECT_NEAR(time.step, time.compute + time.memory + time.overhead + time.exposed, 1e-9);
    double ops = 0;
    for (const auto& [op, seconds] : time.by_op) ops += seconds;
    EXPECT_NEAR(ops, time.compute + time.memory + time.overhead + time.communication, 1e-9);
  }
  EXPECT_GT(times.shared.communication, 0);
  EXPECT_LE(times.shared.exposed, times.shared.communication + 1e-12);
  EXPECT_NEAR(times.shared.by_op.at("all_reduce"), times.shared.communication, 1e-12);
}

TEST(TimeOfAStep, TheBoundIsWhateverIsSlow) {
  DeviceRates d = device();
  d.vector_flops = 1e15;
  d.products.peak = 1e8;
  EXPECT_EQ(step_times(d).shared.bound(), Bound::kCompute);
  d.products.peak = 1e15;
  d.memory_bandwidth = 1e6;
  EXPECT_EQ(step_times(d).shared.bound(), Bound::kMemory);
  d.memory_bandwidth = 1e15;
  EXPECT_EQ(step_times(d).shared.bound(), Bound::kNetwork);
  EXPECT_NE(step_times(d).alone.bound(), Bound::kNetwork);
}

}  // namespace
}  // namespace synthesizer
