#include "tests/core/ops/drawn_graph.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "core/graph/leaf.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/update.h"
#include "tests/core/ops/op_runner.h"

namespace synthesizer {
namespace {

// All results and all that lives between steps, after two runs.
std::vector<Tensor> results_of(Graph& graph, int threads) {
  OpRunner runner(graph, {}, nullptr, threads);
  uint64_t stream = 0;
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) {
    if (!node.inputs.empty() || node.op->pure()) continue;
    Tensor value(node.outputs[0].shape);
    ++stream;
    for (size_t e = 0; e < value.data.size(); ++e) value.data[e] = static_cast<float>(random01(stream, e) - 0.4);
    runner.set(node.name, value);
    if (node.op->name() != "input") names.push_back(node.name);
  }
  for (const auto& [name, ref] : graph.outputs()) names.push_back(name);
  for (int i = 0; i < 2; ++i) runner.run();
  std::vector<Tensor> results;
  for (const std::string& name : names) results.push_back(runner.get(name));
  return results;
}

}  // namespace

void expect_same_bits(Graph& before, Graph& after) {
  const std::vector<Tensor> expected = results_of(before, 1);
  for (const int threads : {1, 3}) {
    const std::vector<Tensor> got = results_of(after, threads);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i)
      for (size_t e = 0; e < got[i].data.size(); ++e) {
        const bool same = got[i].data[e] == expected[i].data[e] ||
                          (got[i].data[e] != got[i].data[e] && expected[i].data[e] != expected[i].data[e]);
        ASSERT_TRUE(same) << "result " << i << ", element " << e << ": " << got[i].data[e] << " and "
                          << expected[i].data[e] << " with " << threads << " threads";
      }
  }
}

void draw_graph(Graph& graph, uint32_t seed, DType dtype) {
  std::mt19937 random(seed);
  const auto pick = [&](size_t n) { return random() % n; };
  const Dim a{"a", 1 + static_cast<int64_t>(pick(3))}, l{"l", 70}, m{"m", 40 + static_cast<int64_t>(pick(80))};
  const Shape shapes[] = {{a, l, m}, {a, l, m}, {l, m}, {a, l}, {a, m}, {m}, {l}, {}};
  std::vector<Value> values, states;
  for (size_t i = 0; i < std::size(shapes); ++i) {
    values.push_back(input(graph, fmt::format("x{}", i), dtype, shapes[i]));
    if (i % 2 == 0 && dtype != DType::kBFloat16)
      states.push_back(state(graph, fmt::format("s{}", i), dtype, shapes[i], {}));
  }
  values.insert(values.end(), states.begin(), states.end());
  const Value on = constant(graph, dtype, {}, 1), off = constant(graph, dtype, {}, 0);
  const Value now = input(graph, "step", DType::kInt64, {});
  const auto any = [&] { return values[values.size() - 1 - pick(std::min<size_t>(values.size(), 14))]; };
  const auto drop = [&](Value old) { std::erase_if(values, [&](const Value& v) { return v.ref() == old.ref(); }); };
  for (int step = 0; step < 50; ++step) {
    const Value x = any();
    const size_t kind = pick(11);
    if (kind < 5) {
      values.push_back(binary(x, any(), static_cast<BinaryFunction>(pick(3))));
    } else if (kind < 7) {
      const UnaryFunction functions[] = {UnaryFunction::kAffine, UnaryFunction::kRelu, UnaryFunction::kSigmoid};
      values.push_back(unary(x, functions[pick(3)], 0.5, 0.25));
    } else if (kind < 9 && x.shape().rank() > 0) {
      DimNames over;
      for (const Dim& dim : x.shape().dims())
        if (pick(2) == 0) over.push_back(dim.name);
      if (over.empty()) over = x.shape().names();
      values.push_back(pick(2) == 0 ? reduce_sum(x, over) * 0.01 : reduce_max(x, over));
    } else if (kind == 9) {
      DimNames shared;
      for (const Dim& dim : x.shape().dims())
        if (pick(3) == 0) shared.push_back(dim.name);
      values.push_back(dropout(x, 0.25, shared, now, seed));
    } else if (!states.empty()) {
      const Value target = states.back();
      std::vector<Value> like;
      for (const Value& v : values)
        if (v.shape() == target.shape() && v.ref() != target.ref()) like.push_back(v);
      if (like.empty()) continue;
      states.pop_back();
      const Value put = assign(target, like[pick(like.size())], pick(2) == 0 ? on : off);
      drop(target);
      values.push_back(put);
    }
    if (values.back().shape().rank() > 3) values.pop_back();
  }
  for (size_t i = 0; i < values.size(); ++i)
    if (pick(3) == 0 || i + 1 == values.size()) graph.mark_output(fmt::format("y{}", i), values[i]);
}

}  // namespace synthesizer
