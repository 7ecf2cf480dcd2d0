// Graphs with all their inputs at random: what passes must not change.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "tests/core/ops/op_runner.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {

// The outputs. Inputs in the same places of a graph have the same values, integers below 31.
inline std::vector<Tensor> run(Graph& graph) {
  OpRunner runner(graph);
  uint64_t stream = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op->name() != "input") continue;
    Tensor value(node.outputs[0].shape);
    const bool ids = node.outputs[0].dtype == DType::kInt32;
    ++stream;
    for (size_t e = 0; e < value.data.size(); ++e)
      value.data[e] = ids ? static_cast<double>(static_cast<int>(random01(stream, e) * 31)) : random01(stream, e) - 0.5;
    runner.set(node.name, value);
  }
  runner.run();
  std::vector<Tensor> outputs;
  for (const auto& [name, ref] : graph.outputs()) outputs.push_back(runner.get(name));
  return outputs;
}

inline void expect_same_results(Graph& before, Graph& after, double tolerance) {
  const std::vector<Tensor> expected = run(before), got = run(after);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(difference(got[i], expected[i], tolerance), "");
}

inline void expect_same_bits(Graph& before, Graph& after) {
  const std::vector<Tensor> expected = run(before), got = run(after);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].data, expected[i].data) << "result " << i;
}

// The same bits on the CPU, where a product's sums are the same whatever is done to them. A GPU's library may take
// another algorithm for a product with an epilogue.
inline void expect_same_products(Graph& before, Graph& after, DType dtype) {
  if (make_test_kernels()->device() == nullptr) return expect_same_bits(before, after);
  expect_same_results(before, after, dtype == DType::kBFloat16 ? 0.01 : dtype == DType::kFloat32 ? 1e-5 : 1e-12);
}

}  // namespace synthesizer
