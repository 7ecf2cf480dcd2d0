// What a chain starts on the device: one kernel for all steps, and what its sums and the size of its program add; and
// what many chains or updates start together.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/leaf.h"
#include "core/graph/program.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/chain.h"
#include "core/ops/elementwise.h"
#include "core/ops/horizontal.h"
#include "core/ops/update.h"
#include "tests/support/test_kernels.h"

namespace synthesizer::cuda {
namespace {

std::vector<std::string> launches;

// Of one run.
std::vector<std::string> launches_of(Graph& graph, const std::vector<Value>& outputs) {
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

// Of a chain over [length, model] with inputs x [length, model] and `rows` of [length].
std::vector<std::string> launches_of(const Shape& over, int rows, std::vector<ChainStep> steps,
                                     const std::vector<int>& results) {
  Graph graph;
  std::vector<Value> inputs{input(graph, "x", DType::kFloat32, over)};
  for (int i = 0; i < rows; ++i)
    inputs.push_back(input(graph, "row" + std::to_string(i), DType::kFloat32, {over.dims()[0]}));
  const auto chain = std::make_shared<Chain>(over, inputs.size(), std::move(steps), results);
  return launches_of(graph, graph.add(chain, inputs));
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

// Rows and columns of some shapes, whose tiles are joined and groups combined, and of some that need neither.
TEST(ChainLaunches, ManyChainsAreOneLaunchOfEachKind) {
  Graph graph;
  std::vector<HorizontalFusion::Part> parts;
  std::vector<Value> inputs;
  for (const Shape& over :
       {Shape{kLength(131), kModel(200)}, Shape{kLength(31), kModel(33)}, Shape{kLength(7), kModel(300)}}) {
    const std::vector<ChainStep> steps = {{multiply(), {0, 0}}, {sum({"model"}), {1}}, {sum({"length"}), {1}}};
    parts.push_back({std::make_shared<Chain>(over, 1, steps, std::vector{2, 3}), 1, 2});
    inputs.push_back(input(graph, "x" + std::to_string(parts.size()), DType::kFloat32, over));
  }
  EXPECT_EQ(launches_of(graph, graph.add(std::make_shared<HorizontalFusion>(parts), inputs)),
            (Launches{"chains_kernel", "join_all_tiles_kernel", "combine_all_kernel"}));
}

TEST(ChainLaunches, ManyUpdatesAreOneLaunch) {
  Graph graph;
  std::vector<HorizontalFusion::Part> parts;
  std::vector<Value> inputs;
  const Value scalar = input(graph, "scalar", DType::kFloat32, {}), step = input(graph, "step", DType::kInt64, {});
  for (int i = 0; i < 300; ++i) {
    const Shape shape{kModel(1 + 7 * i)};
    for (const char* name : {"parameter", "first", "second"})
      inputs.push_back(state(graph, fmt::format("{}{}", name, i), DType::kFloat32, shape, {}));
    inputs.push_back(input(graph, fmt::format("gradient{}", i), DType::kFloat32, shape));
    for (const Value& value : {scalar, scalar, step, scalar}) inputs.push_back(value);
    parts.push_back({std::make_shared<AdamW>(AdamWOptions{}), 8, 3});
  }
  EXPECT_EQ(launches_of(graph, graph.add(std::make_shared<HorizontalFusion>(parts), inputs)),
            Launches{"adamws_kernel"});
}

}  // namespace
}  // namespace synthesizer::cuda
