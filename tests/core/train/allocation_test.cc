// The arena is the only memory a step uses: an interposed allocator sees what the program asks the system for.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "core/kernels/cpu/cpu_kernels.h"
#include "core/train/train_step.h"
#include "dist/parallel.h"
#include "dist/plan.h"
#include "dist/thread_communicator.h"
#include "tests/support/allocations.h"

namespace synthesizer {
namespace {

StepGraphOptions options_of(const std::string& attention, OptimizerKind optimizer) {
  StepGraphOptions options;
  ModelConfig& model = options.model;
  model.vocab = 96;
  model.d_model = 32;
  model.d_ff = 64;
  model.num_heads = 4;
  model.d_head = 8;
  model.encoder_layers = model.decoder_layers = 2;
  model.encoder.kind = model.decoder.kind = attention;
  model.encoder.max_length = model.decoder.max_length = 24;
  model.dropout = 0.1;
  options.shape = {4, 20, 12};
  options.loss.z_loss = 1e-4;
  options.optimizer.kind = optimizer;
  options.optimizer.clip_norm = 1;
  options.input_mask = true;
  return options;
}

struct Rows {
  explicit Rows(int64_t rows)
      : inputs(static_cast<size_t>(rows * 20), 5),
        targets(static_cast<size_t>(rows * 12), 7),
        weights(static_cast<size_t>(rows * 12), 1.0f) {}
  Batch batch() const { return {inputs, targets, targets, weights, 48, {}}; }
  std::vector<int32_t> inputs, targets;
  std::vector<float> weights;
};

class Allocation : public ::testing::TestWithParam<const char*> {};

TEST_P(Allocation, AStepAllocatesNothingAndTheArenaIsAsPlanned) {
  for (const auto& [optimizer, micro_batches] :
       {std::pair{OptimizerKind::kAdamW, 1}, {OptimizerKind::kAdafactor, 1}, {OptimizerKind::kAdamW, 4}}) {
    const CpuKernelTable kernels(1);
    StepGraphOptions options = options_of(GetParam(), optimizer);
    options.accumulation.micro_batches.count = micro_batches;
    StepGraphs graphs = training_graphs(options, nullptr);
    const StepPlan plan = plan_step(graphs, kernels, {});
    keep_allocations();
    TrainStep step(std::move(graphs), options.optimizer, kernels, {});
    const Allocations building = kept_allocations();
    int64_t arenas = 0, stores = 0;
    for (const AllocatedBlock& a : building.own) {
      arenas += a.bytes == static_cast<size_t>(plan.arena);
      stores += a.bytes == static_cast<size_t>(plan.state());
    }
    EXPECT_EQ(arenas, 1);
    EXPECT_EQ(stores, 1);

    step.state().initialize(1);
    const Rows rows(4);
    const Batch batch = rows.batch();
    step.run(batch, 0, 0.01);
    keep_allocations();
    step.run(batch, 1, 0.01);
    EXPECT_EQ(describe(kept_allocations().own), "");
  }
}

TEST_P(Allocation, NeitherDoesAStepOfTwoRanks) {
  run_ranks(2, [&](Communicator& world) {
    const CpuKernelTable kernels(1);
    const Mesh mesh({{{"data", 2}}}, world);
    const StepGraphOptions options = options_of(GetParam(), OptimizerKind::kAdafactor);
    TrainStep step(training_graph(options, partition_for(mesh, {{{"batch", "data"}}})), options.optimizer, kernels,
                   axis_communicators(mesh));
    step.state().initialize(1);
    const Rows rows(2);
    const Batch batch = rows.batch();
    step.run(batch, 0, 0.01);
    world.barrier();
    if (world.rank() == 0) keep_allocations();
    world.barrier();
    step.run(batch, 1, 0.01);
    world.barrier();
    if (world.rank() == 0) {
      EXPECT_EQ(describe(kept_allocations().own), "");
    }
    world.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Attentions, Allocation, ::testing::Values("V", "R", "Fix", "D+R+V", "FR+FD"));

}  // namespace
}  // namespace synthesizer
