// Collectives have two placements: on their own axis, where they turn one into the other, and on the other axes, where
// they are an op with a partition table. Both are checked on a mesh of own × other ranks.
#include "core/ops/collectives.h"

#include <gtest/gtest.h>

#include <set>

#include "core/base/error.h"
#include "core/ops/all_ops.h"
#include "dist/thread_communicator.h"
#include "tests/core/ops/op_runner.h"

namespace synthesizer {
namespace {

struct CollectiveCase {
  std::string op;
  Placement from, to;  // on the own axis
  std::function<std::shared_ptr<const Op>(AxisIndex)> make;
};

const Shape kShape{kBatch(16), kHeads(8), kModel(16), kLength(3)};

std::vector<CollectiveCase> cases() {
  const Placement whole, sum = Placement::partial_sum(), max = Placement::partial_max();
  const Placement heads = Placement::split("heads"), model = Placement::split("model"),
                  batch = Placement::split("batch");
  const auto all_reduce = [](Reduction reduction) {
    return [=](const AxisIndex& axis) { return std::make_shared<AllReduce>(axis.axis, reduction); };
  };
  const auto reduce_scatter = [](const std::string& dim) {
    return [=](const AxisIndex& axis) { return std::make_shared<ReduceScatter>(axis.axis, axis.size, dim); };
  };
  const auto all_gather = [](const std::string& dim) {
    return [=](const AxisIndex& axis) { return std::make_shared<AllGather>(axis.axis, axis.size, dim); };
  };
  const auto all_to_all = [](const std::string& from, const std::string& to) {
    return [=](const AxisIndex& axis) { return std::make_shared<AllToAll>(axis.axis, axis.size, from, to); };
  };
  return {
      {"all_reduce", sum, whole, all_reduce(Reduction::kSum)},
      {"all_reduce", max, whole, all_reduce(Reduction::kMax)},
      {"reduce_scatter", sum, batch, reduce_scatter("batch")},
      {"reduce_scatter", sum, model, reduce_scatter("model")},
      {"all_gather", batch, whole, all_gather("batch")},
      {"all_gather", model, whole, all_gather("model")},
      {"all_to_all", batch, model, all_to_all("batch", "model")},
      {"all_to_all", model, heads, all_to_all("model", "heads")},
      {"all_to_all", heads, batch, all_to_all("heads", "batch")},
      {"keep_on_first", whole, sum, [](const AxisIndex& axis) { return std::make_shared<KeepOnFirst>(axis); }},
  };
}

Tensor random_tensor(uint64_t stream) {
  Tensor x(kShape);
  for (size_t e = 0; e < x.data.size(); ++e) x.data[e] = random01(stream, e) - 0.5;
  return x;
}

// Runs the op on own × other ranks, puts the outputs together again, and gives them. The input is placed by the own
// axis first and each part by the other one, as partition does: it has inserted the op when it comes to the other axis.
Tensor run_on_mesh(const CollectiveCase& c, const PartitionRule& rule, const Tensor& x, int own, int other) {
  std::vector<std::vector<Tensor>> parts;  // by the own axis, then the other one
  for (const Tensor& part : place(x, c.from, own, 6)) {
    const bool copy = c.from.kind == Placement::Kind::kWhole;  // equal on the own axis, so its parts are too
    parts.push_back(place(part, rule.inputs[0], other, copy ? 5 : 5 + 10 * parts.size()));
  }
  std::vector<std::vector<Tensor>> results(parts.size(), std::vector<Tensor>(static_cast<size_t>(other)));
  run_ranks(own * other, [&](Communicator& world) {
    const int index = world.rank() % own, group = world.rank() / own;
    const auto axis = world.split(group, index);
    const auto g = static_cast<size_t>(group), i = static_cast<size_t>(index);
    const auto global = c.make({"own", index, own});
    const ValueType type{DType::kFloat64, local_shape(kShape, c.from, {"own", index, own})};
    auto op = global->localize(rule, {"other", group, other}, {{type}}, global->infer({{type}}));
    if (!op) op = global;
    Graph graph;
    const Value in = input(graph, "x", DType::kFloat64, parts[i][g].shape);
    mark_outputs(graph, graph.add(op, {{in}}));
    OpRunner runner(graph, {{"own", axis.get()}});
    runner.set("x", parts[i][g]);
    runner.run();
    results[i][g] = runner.get("y0");
  });
  std::vector<Tensor> combined;
  for (const auto& group : results) combined.push_back(combine(group, rule.outputs[0]));
  return combine(combined, c.to);
}

bool divides(const Shape& shape, const Placement& p, int ranks) {
  return p.kind != Placement::Kind::kSplit || shape.size(p.dim) % ranks == 0;
}

// (own, other)
class Mesh : public ::testing::TestWithParam<std::pair<int, int>> {};

TEST_P(Mesh, EveryCollectiveKeepsTheValue) {
  const auto [own, other] = GetParam();
  for (const CollectiveCase& c : cases()) {
    const auto op = c.make({"own", 0, own});
    ASSERT_EQ(op->name(), c.op);
    const ValueType in{DType::kFloat64, local_shape(kShape, c.from, {"own", 0, own})};
    const std::vector<ValueType> out = op->infer({{in}});
    int tried = 0;
    for (const PartitionRule& rule : op->partition({{in}}, out)) {
      if (!divides(in.shape, rule.inputs[0], other) || !divides(out[0].shape, rule.outputs[0], other)) continue;
      const Tensor x = random_tensor(3);
      EXPECT_EQ(difference(run_on_mesh(c, rule, x, own, other), x, 1e-14), "")
          << c.op << " " << c.from.to_string() << " to " << c.to.to_string() << ", other axis "
          << rule.inputs[0].to_string();
      ++tried;
    }
    EXPECT_GE(tried, 2);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Mesh, ::testing::Values(std::pair{2, 1}, std::pair{4, 1}, std::pair{2, 2}),
                         [](const auto& info) {
                           return std::to_string(info.param.first) + "x" + std::to_string(info.param.second);
                         });

// A bucket: several tensors of odd sizes, one call.
TEST(AllReduce, OfSeveralTensors) {
  const std::vector<Shape> shapes = {{kModel(33)}, {}, {kLength(31), kHeads(3)}};
  run_ranks(4, [&](Communicator& world) {
    Graph graph;
    std::vector<Value> values;
    for (size_t i = 0; i < shapes.size(); ++i) {
      const Value x = input(graph, fmt::format("x{}", i), DType::kFloat64, shapes[i]);
      values.push_back(graph.add_one(std::make_shared<KeepOnFirst>(AxisIndex{"own", 0, 4}), {{x}}));
    }
    mark_outputs(graph, graph.add(std::make_shared<AllReduce>("own", Reduction::kSum, shapes.size()), values));
    OpRunner runner(graph, {{"own", &world}});
    for (size_t i = 0; i < shapes.size(); ++i)
      runner.set(fmt::format("x{}", i), Tensor(shapes[i], world.rank() + static_cast<double>(i)));
    runner.run();
    for (size_t i = 0; i < shapes.size(); ++i)
      EXPECT_EQ(difference(runner.get(fmt::format("y{}", i)), Tensor(shapes[i], 6 + 4 * static_cast<double>(i)), 0),
                "");
  });
}

TEST(Collectives, AllHaveACase) {
  std::set<std::string> covered;
  for (const CollectiveCase& c : cases()) covered.insert(c.op);
  for (const OpEntry& op : kAllOps)
    EXPECT_TRUE(op.role != OpRole::kCollective || covered.contains(std::string(op.name))) << op.name;
}

}  // namespace
}  // namespace synthesizer
