// Planned against measured memory of ranks that are processes: what a rank takes from the allocator for its
// communicators and its step is as planned, to the byte, and a step that runs takes nothing, in its collectives
// neither. Run by mpirun on 2 and 4 ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "core/kernels/cpu/cpu_kernels.h"
#include "dist/parallel.h"
#include "dist/plan.h"
#include "tests/dist/layout_run.h"
#include "tests/dist/mpi_main.h"
#include "tests/support/allocations.h"

namespace synthesizer {
namespace {

Communicator& world() { return mpi_test_environment().world(); }

MeshShape shape_of(Mesh2d mesh) { return {.axes = {{"data", mesh.data}, {"tensor", mesh.tensor}}}; }

std::vector<Mesh2d> meshes() {
  if (world().size() == 2) return {{2, 1}, {1, 2}, {2, 1, 2, /*zero=*/2}, {2, 1, 1, 0, 0, 1, Wire::kBFloat16}};
  return {{4, 1},
          {2, 2},
          {1, 4},
          {4, 1, 1, /*zero=*/1},
          {2, 2, 1, 0, /*leaves=*/4},
          {4, 1, 1, /*zero=*/1, 0, 1, Wire::kBFloat16}};
}

template <typename Action>
std::vector<int64_t> blocks_while(const Action& action) {
  keep_allocations();
  action();
  std::vector<int64_t> bytes;
  for (const AllocatedBlock& a : kept_allocations().own)
    if (a.aligned) bytes.push_back(static_cast<int64_t>(a.bytes));
  return bytes;
}

void check(const StepGraphOptions& whole, Mesh2d shape) {
  SCOPED_TRACE(text(shape));
  const StepGraphOptions options = options_on(shape, whole);
  const CpuKernelTable kernels(1, nullptr, best_isa(), shape.leaves > 0);
  const Mesh first = Mesh::fake(shape_of(shape), 0);
  const StepPlan plan = plan_step(training_graphs(options, partition_for(first, default_layout(), partition_on(shape))),
                                  kernels, first.shape());

  std::unique_ptr<Communicator> all;
  std::optional<Mesh> mesh;
  const std::vector<int64_t> buffers = blocks_while([&] {
    all = world().split(0, world().rank());
    mesh.emplace(shape_of(shape), *all);
  });
  EXPECT_EQ(std::accumulate(buffers.begin(), buffers.end(), int64_t{0}), buffers_of(mesh->shape()));

  StepGraphs graphs = training_graphs(options, partition_for(*mesh, default_layout(), partition_on(shape)));
  std::optional<TrainStep> step;
  EXPECT_THAT(
      blocks_while([&] { step.emplace(std::move(graphs), options.optimizer, kernels, axis_communicators(*mesh)); }),
      testing::UnorderedElementsAre(plan.state(), plan.arena));

  step->state().initialize(options.seed);
  RankRun run{*mesh, options, *step, {}};
  run.results.reserve(2);
  run.train(0, 1);
  keep_allocations();
  run.train(1, 1);
  EXPECT_EQ(describe(kept_allocations().own), "");
}

TEST(MpiAllocation, IsAsPlannedToTheByte) {
  for (const LayoutSetting& setting : models_named({"mixtures", "DynConv", "classifier"})) {
    SCOPED_TRACE(setting.name);
    for (const Mesh2d shape : meshes()) check(layout_options(setting, DType::kFloat32), shape);
  }
}

}  // namespace
}  // namespace synthesizer
