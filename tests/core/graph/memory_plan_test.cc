#include "core/graph/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/graph/leaf.h"
#include "core/ops/collectives.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"
#include "core/ops/update.h"
#include "core/tensor/storage.h"
#include "tests/core/graph/no_kernels.h"

namespace synthesizer {
namespace {

constexpr DType kF32 = DType::kFloat32;

MemoryPlan plan_of(const Graph& graph, int64_t workspace = 0) {
  return plan_memory(graph, schedule(graph), NoKernels(workspace));
}

// No two blocks that are in use at one time overlap, and all lie in the arena.
void expect_sound(const MemoryPlan& plan) {
  int64_t end = 0;
  for (size_t i = 0; i < plan.blocks.size(); ++i) {
    const PlannedBlock& a = plan.blocks[i];
    end = std::max(end, a.offset + a.bytes);
    EXPECT_EQ(a.offset % kAlignment, 0);
    for (size_t j = 0; j < i; ++j) {
      const PlannedBlock& b = plan.blocks[j];
      const bool together = a.first <= b.last && b.first <= a.last;
      const bool overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
      EXPECT_FALSE(together && overlap) << "blocks " << i << " and " << j;
    }
  }
  EXPECT_EQ(plan.arena_bytes, end);
}

TEST(MemoryPlan, ReusesMemoryOfValuesThatAreDone) {
  Graph graph;
  Value x = input(graph, "x", kF32, {kModel(1000)});
  for (int i = 0; i < 10; ++i) x = reduce_sum(broadcast(x, {kBatch(2), kModel(1000)}), {kBatch});
  graph.mark_output("y", x);
  const MemoryPlan plan = plan_of(graph);
  expect_sound(plan);
  // The input stays; one broadcast and one sum live at a time.
  EXPECT_EQ(plan.arena_bytes, align_up(4000) * 2 + align_up(8000));
}

TEST(MemoryPlan, ElementwiseChainsRunInPlaceButNotOverInputs) {
  Graph graph;
  const Value x = input(graph, "x", kF32, {kModel(16)});
  const Value a = relu(x);
  const Value b = exp(a);
  const Value c = b + b;
  graph.mark_output("y", c);
  const MemoryPlan plan = plan_of(graph);
  EXPECT_NE(plan.offsets.at(a.ref()), plan.offsets.at(x.ref()));
  EXPECT_EQ(plan.offsets.at(b.ref()), plan.offsets.at(a.ref()));
  EXPECT_NE(plan.offsets.at(c.ref()), plan.offsets.at(b.ref()));  // the other operand lies there
}

TEST(MemoryPlan, AValueThatIsReadLaterIsNotOverwritten) {
  Graph graph;
  const Value a = relu(input(graph, "x", kF32, {kModel(16)}));
  const Value b = exp(a);
  graph.mark_output("y", a * b);
  const MemoryPlan plan = plan_of(graph);
  EXPECT_NE(plan.offsets.at(b.ref()), plan.offsets.at(a.ref()));
}

TEST(MemoryPlan, ViewsAndUpdatesShareTheirSource) {
  Graph graph;
  const Value w = parameter(graph, "w", kF32, {kModel(16)}, {});
  const Value x = relu(input(graph, "x", kF32, {kModel(16)}));
  const Value view = rename(x, "model", "ff");
  const Value back = rename(view, "ff", "model");
  const Value apply = constant(graph, kF32, {}, 1);
  const Value updated = assign(w, back, apply);
  const MemoryPlan plan = plan_of(graph);
  EXPECT_EQ(plan.offsets.at(view.ref()), plan.offsets.at(x.ref()));
  EXPECT_EQ(plan.persistent.at(updated.ref()), "w");
  EXPECT_EQ(plan.persistent.at(w.ref()), "w");
}

TEST(MemoryPlan, AnUpdateNeedsATensorThatLives) {
  Graph graph;
  const Value x = relu(input(graph, "x", kF32, {kModel(16)}));
  assign(x, exp(x), constant(graph, kF32, {}, 1));
  EXPECT_THROW(plan_of(graph), Error);
}

TEST(MemoryPlan, ABucketIsOneBlockInOrder) {
  Graph graph;
  const Value x = input(graph, "x", kF32, {kModel(20)});
  const std::vector<Value> parts = {relu(x), exp(x), tanh(x)};
  const auto sums = graph.add(std::make_shared<AllReduce>("data", Reduction::kSum, 3), parts);
  for (size_t i = 0; i < 3; ++i) graph.mark_output(std::to_string(i), sums[i]);
  const MemoryPlan plan = plan_of(graph);
  expect_sound(plan);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(plan.offsets.at(sums[i].ref()), plan.offsets.at(parts[i].ref()));
    EXPECT_EQ(plan.offsets.at(parts[i].ref()),
              plan.offsets.at(parts[0].ref()) + static_cast<int64_t>(i) * align_up(80));
  }
}

TEST(MemoryPlan, WhatACollectiveReadsStaysUntilItIsWaitedFor) {
  Graph graph;
  const Value x = input(graph, "x", kF32, {kModel(64)});
  const Value local = relu(x);
  const Value sum = graph.add_one(std::make_shared<AllReduce>("data", Reduction::kSum), std::vector<Value>{local});
  Value busy = exp(x);
  for (int i = 0; i < 4; ++i) busy = reduce_sum(broadcast(busy, {kBatch(2), kModel(64)}), {kBatch});
  graph.mark_output("y", busy + sum);
  const MemoryPlan plan = plan_of(graph);
  expect_sound(plan);
  EXPECT_EQ(plan.offsets.at(sum.ref()), plan.offsets.at(local.ref()));
}

// Random graphs of every kind of sharing.
TEST(MemoryPlan, RandomGraphsAreSound) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    Graph graph;
    std::vector<Value> values = {input(graph, "x", kF32, {kBatch(5), kModel(33)})};
    for (int i = 0; i < 60; ++i) {
      const Value a = values[random() % values.size()], b = values[random() % values.size()];
      switch (random() % 5) {
        case 0:
          values.push_back(relu(a));
          break;
        case 1:
          values.push_back(a * b);
          break;
        case 2:
          values.push_back(rename(rename(a, "model", "ff"), "ff", "model"));
          break;
        case 3:
          values.push_back(graph.add_one(std::make_shared<AllReduce>("data", Reduction::kSum), std::vector<Value>{a}));
          break;
        default:
          values.push_back(einsum_to(a, rename(b, "batch", "length"), {"batch", "length"}));
          values.back() = slice(broadcast(values.back(), {kModel(33), kBatch(5), kLength(5)}), "length", 0, 1);
          values.back() = einsum_to(values.back(), constant(graph, kF32, {kLength(1)}, 1), {"batch", "model"});
      }
    }
    graph.mark_output("last", values.back());
    graph.mark_output("some", values[values.size() / 2]);
    expect_sound(plan_of(graph, 100));
  }
}

}  // namespace
}  // namespace synthesizer
