// What a chain starts on the device: one kernel for all steps, and what its sums and the size of its program add.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/leaf.h"
#include "core/graph/program.h"
#include "core/kernels/cuda/launch.h"
#include "core/ops/chain.h"
#include "core/ops/elementwise.h"
#include "tests/support/test_kernels.h"

namespace synthesizer::cuda {
namespace {

std::vector<std::string> launches;

// Of one run of a chain over [length, model] with inputs x [length, model] and `rows` of [length].
std::vector<std::string> launches_of(const Shape& over, int rows, std::vector<ChainStep> steps,
                                     const std::vector<int>& results) {
  Graph graph;
  std::vector<Value> inputs{input(graph, "x", DType::kFloat32, over)};
  for (int i = 0; i < rows; ++i)
    inputs.push_back(input(graph, "row" + std::to_string(i), DType::kFloat32, {over.dims()[0]}));
  const auto chain = std::make_shared<Chain>(over, inputs.size(), std::move(steps), results);
  const std::vector<Value> outputs = graph.add(chain, inputs);
  for (size_t i = 0; i < outputs.size(); ++i) graph.mark_output("y" + std::to_string(i), outputs[i]);
  const std::unique_ptr<KernelTable> kernels = make_test_kernels();
  StateStore store(graph, kernels->device());
  Program program(graph, *kernels, {}, store);
  launches.clear();
  listen_to_launches([](const char* kernel) { launches.push_back(kernel); });
  program.run();
  program.output<float>("y0");
  listen_to_launches(nullptr);
  return launches;
}

std::shared_ptr<const Op> multiply() { return std::make_shared<Binary>(BinaryFunction::kMultiply); }
std::shared_ptr<const Op> sum(const DimNames& over) { return std::make_shared<Reduce>(ReduceFunction::kSum, over); }

using Launches = std::vector<std::string>;

TEST(ChainLaunches, OneKernelForAllSteps) {
  const Shape over{kLength(31), kModel(33)};
  EXPECT_EQ(launches_of(over, 2, {{multiply(), {0, 1}}, {multiply(), {3, 2}}, {sum({"length"}), {4}}}, {4, 5}),
            Launches{"chain_kernel"});
}

// 131 rows of two tiles each: the tiles of a row are joined, the groups of a column combined.
TEST(ChainLaunches, SumsInGroupsAreCombined) {
  const Shape over{kLength(131), kModel(200)};
  EXPECT_EQ(launches_of(over, 1, {{multiply(), {0, 1}}, {sum({"model"}), {2}}, {sum({"length"}), {2}}}, {3, 4}),
            (Launches{"chain_kernel", "join_tiles_kernel", "combine_kernel"}));
  EXPECT_EQ(launches_of(over, 1, {{multiply(), {0, 1}}, {sum({"model", "length"}), {2}}}, {3}),
            (Launches{"chain_kernel", "combine_kernel"}));
}

TEST(ChainLaunches, AProgramThatIsNoArgumentGoesThroughMemory) {
  const Shape over{kLength(31), kModel(33)};
  constexpr int kRows = 63;
  std::vector<ChainStep> steps;
  for (int i = 0; i < kRows; ++i) steps.push_back({multiply(), {i == 0 ? 0 : kRows + i, 1 + i}});
  EXPECT_EQ(launches_of(over, kRows, steps, {2 * kRows}),
            (Launches{"keep_program_kernel", "keep_program_kernel", "chain_kernel"}));
}

}  // namespace
}  // namespace synthesizer::cuda
