// Planned against measured memory, for every model on every mesh of up to eight ranks: what a rank's step takes from
// the allocator is the planned state and the planned arena, to the byte, and a step that runs takes nothing. Measured
// by an allocator that stands between the program and the C library; what libraries take for themselves is counted
// apart.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/kernels/cpu/cpu_kernels.h"
#include "dist/parallel.h"
#include "dist/plan.h"
#include "dist/thread_communicator.h"
#include "tests/dist/layout_run.h"
#include "tests/support/allocations.h"

namespace synthesizer {
namespace {

using testing::UnorderedElementsAre;

constexpr Mesh2d kMeshes[] = {{1, 1}, {2, 1}, {4, 1}, {1, 2}, {2, 2}, {4, 2}, {1, 4}, {2, 4}};
constexpr Mesh2d kOtherwise[] = {{2, 4},
                                 {2, 1, /*micro_batches=*/2},
                                 {2, 2, 1, /*zero=*/1},
                                 {2, 2, 2, /*zero=*/2},
                                 {1, 2, 1, 0, /*leaves=*/4},
                                 {2, 1, 1, 2, /*leaves=*/4},
                                 {2, 1, 1, 0, 0, /*threads=*/2},
                                 {1, 1, 1, 0, /*leaves=*/4, /*threads=*/3},
                                 {2, 2, 1, 0, 0, 1, Wire::kBFloat16},
                                 {2, 1, 2, /*zero=*/2, 0, 1, Wire::kBFloat16}};

MeshShape shape_of(Mesh2d mesh) { return {.axes = {{"data", mesh.data}, {"tensor", mesh.tensor}}}; }

// What all ranks ask for while each does its `action`. Collective; the ranks share `kept`.
template <typename Action>
void keep_of_all(Communicator& world, Allocations& kept, const Action& action) {
  world.barrier();
  if (world.rank() == 0) keep_allocations();
  world.barrier();
  action();
  world.barrier();
  if (world.rank() == 0) kept = kept_allocations();
  world.barrier();
}

// The blocks of memory for tensors that this thread asked for.
std::vector<int64_t> blocks_of_this_thread(const Allocations& kept) {
  std::vector<int64_t> bytes;
  for (const AllocatedBlock& a : kept.own)
    if (a.aligned && pthread_equal(a.thread, pthread_self())) bytes.push_back(static_cast<int64_t>(a.bytes));
  return bytes;
}

// A rank's step, built and run twice: in the first one libraries make themselves ready.
void check_rank(const StepGraphOptions& options, Mesh2d shape, const StepPlan& plan, Communicator& world,
                Allocations& building, Allocations& running) {
  const Mesh mesh(shape_of(shape), world);
  const CpuKernelTable kernels(shape.threads, nullptr, best_isa(), shape.leaves > 0);
  StepGraphs graphs = training_graphs(options, partition_for(mesh, default_layout(), partition_on(shape)));
  const AxisCommunicators communicators = axis_communicators(mesh);
  std::optional<TrainStep> step;
  keep_of_all(world, building, [&] { step.emplace(std::move(graphs), options.optimizer, kernels, communicators); });
  EXPECT_THAT(blocks_of_this_thread(building), UnorderedElementsAre(plan.state(), plan.arena));

  std::map<Leaf::Kind, int64_t> of_kind;  // of the store, from where each tensor begins to where it ends
  for (const StateTensor& tensor : step->state().tensors()) of_kind[tensor.kind] += align_up(tensor.type.bytes());
  EXPECT_EQ(of_kind[Leaf::Kind::kParameter], plan.parameters);
  EXPECT_EQ(of_kind[Leaf::Kind::kFixed], plan.fixed);
  EXPECT_EQ(of_kind[Leaf::Kind::kState], plan.optimizer);
  int64_t copies = 0;
  for (const StateTensor& tensor : step->state().derived()) copies += align_up(tensor.type.bytes());
  EXPECT_EQ(copies, plan.copies);
  EXPECT_EQ(copies > 0, options.bfloat16 && options.recompute != Recompute::kBlock);

  step->state().initialize(options.seed);
  RankRun run{mesh, options, *step, {}};
  run.results.reserve(2);
  run.train(0, 1);
  keep_of_all(world, running, [&] { run.train(1, 1); });
}

void check(const StepGraphOptions& whole, Mesh2d shape) {
  SCOPED_TRACE(text(shape));
  const StepGraphOptions options = options_on(shape, whole);
  // What the program plans for the first rank, with no other there, holds for all.
  const Mesh first = Mesh::fake(shape_of(shape), 0);
  const StepPlan plan = plan_step(training_graphs(options, partition_for(first, default_layout(), partition_on(shape))),
                                  CpuKernelTable(shape.threads, nullptr, best_isa(), shape.leaves > 0), first.shape());
  Allocations building, running;
  run_ranks(shape.data * shape.tensor, [&](Communicator& world) {
    SCOPED_TRACE(fmt::format("{}, rank {}", text(shape), world.rank()));
    check_rank(options, shape, plan, world, building, running);
  });
  EXPECT_EQ(describe(running.own), "");
  fmt::print("libraries, on {}: {} bytes while {} step(s) are built, {} bytes in a step\n", text(shape),
             building.bytes_of_libraries, shape.data * shape.tensor, running.bytes_of_libraries);
}

class AllocationOnMeshes : public testing::TestWithParam<LayoutSetting> {};

// With AdamW, whose graphs are small: what follows has the models' own optimizers.
TEST_P(AllocationOnMeshes, IsAsPlannedToTheByte) {
  StepGraphOptions options = layout_options(GetParam(), DType::kFloat32);
  options.optimizer.kind = OptimizerKind::kAdamW;
  for (const Mesh2d shape : kMeshes) check(options, shape);
}

INSTANTIATE_TEST_SUITE_P(Models, AllocationOnMeshes, testing::ValuesIn(every_model()),
                         [](const auto& info) { return info.param.name; });

class AllocationOtherwise : public testing::TestWithParam<LayoutSetting> {};

TEST_P(AllocationOtherwise, InAnyMicroBatchesAndZeroStage) {
  for (const Mesh2d shape : kOtherwise) check(layout_options(GetParam(), DType::kFloat32), shape);
}

TEST_P(AllocationOtherwise, WithBlocksMadeAgain) {
  StepGraphOptions options = layout_options(GetParam(), DType::kFloat32);
  options.recompute = Recompute::kBlock;
  for (const Mesh2d shape : {Mesh2d{1, 1}, Mesh2d{2, 2}, Mesh2d{1, 2, /*micro_batches=*/2}}) check(options, shape);
}

// Weights in bf16 beside those in float32.
TEST_P(AllocationOtherwise, InBFloat16) {
  StepGraphOptions options = layout_options(GetParam(), DType::kFloat32);
  options.bfloat16 = true;
  for (const Mesh2d shape : {Mesh2d{1, 1}, Mesh2d{2, 2, 1, /*zero=*/1}, Mesh2d{1, 2, /*micro_batches=*/2}})
    check(options, shape);
}

INSTANTIATE_TEST_SUITE_P(Models, AllocationOtherwise,
                         testing::ValuesIn(models_named({"Fix", "mixtures", "adamw", "decoder", "classifier",
                                                         "universal", "t5_1_1"})),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace synthesizer
