#include "core/graph/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/collectives.h"
#include "core/ops/elementwise.h"
#include "core/ops/update.h"

namespace synthesizer {
namespace {

constexpr DType kF32 = DType::kFloat32;

TEST(Schedule, ACollectiveStartsAsSoonAsItsInputIsThere) {
  Graph graph;
  const Value x = input(graph, "x", kF32, {kModel(4)});
  const Value first = relu(x);
  const Value second = exp(x);
  const Value sum = graph.add_one(std::make_shared<AllReduce>("data", Reduction::kSum), std::vector<Value>{first});
  const Value last = second + sum;
  const Schedule order = schedule(graph);
  const auto position = [&](Value v) {
    return std::find(order.order.begin(), order.order.end(), v.ref().node) - order.order.begin();
  };
  EXPECT_EQ(position(sum), position(first) + 1);
  EXPECT_LT(position(sum), position(second));
  EXPECT_EQ(order.wait[static_cast<size_t>(position(sum))], position(last));
  EXPECT_EQ(order.wait[static_cast<size_t>(position(second))], position(second));
}

TEST(Schedule, ReadingAnOverwrittenTensorIsRefused) {
  Graph graph;
  const Value w = parameter(graph, "w", kF32, {kModel(4)}, {});
  assign(w, relu(w), constant(graph, kF32, {}, 1));
  EXPECT_NO_THROW(schedule(graph));
  exp(w);
  EXPECT_THROW(schedule(graph), Error);
}

}  // namespace
}  // namespace synthesizer
