// Updates that are put together train to the same bits, in the same memory, with a few nodes for all parameters.
#include "core/ops/horizontal.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/graph/leaf.h"
#include "core/graph/program.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/ops/update.h"
#include "core/train/train_step.h"
#include "tests/core/train/small_step.h"

namespace synthesizer {
namespace {

constexpr int64_t kRows = 4;

struct Setting {
  const char* attention;
  OptimizerKind optimizer;
  bool bfloat16 = false;
  int64_t micro_batches = 1;

  friend void PrintTo(const Setting& setting, std::ostream* out) {
    *out << fmt::format("{} {}{} {}", setting.attention, static_cast<int>(setting.optimizer),
                        setting.bfloat16 ? " bf16" : "", setting.micro_batches);
  }
};

StepGraphOptions options_of(const Setting& setting, bool horizontal) {
  StepGraphOptions options = small_step(setting.attention, setting.optimizer, kRows);
  options.model.encoder_layers = 3;
  options.bfloat16 = setting.bfloat16;
  options.optimizer.clip_norm = 1;
  options.optimizer.adafactor.min_factored = 4;
  options.accumulation.micro_batches.count = setting.micro_batches;
  options.for_gpu = horizontal;
  return options;
}

// Losses, then all that lives between steps.
std::vector<std::string> trained(const StepGraphOptions& options) {
  const CpuKernelTable kernels(1);
  TrainStep step(training_graphs(options, nullptr), options.optimizer, kernels, {});
  step.state().initialize(1);
  std::vector<int32_t> inputs(kRows * 8), targets(kRows * 6);
  std::vector<float> weights(targets.size(), 1);
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i] = static_cast<int32_t>(1 + i * 7 % 46);
  for (size_t i = 0; i < targets.size(); ++i) targets[i] = static_cast<int32_t>(1 + i * 5 % 46);
  std::vector<std::string> results;
  for (int64_t i = 0; i < 4; ++i)
    results.push_back(fmt::format("{}", step.run({inputs, targets, targets, weights, 24, {}}, i, 0.01).loss));
  for (const StateTensor& tensor : step.state().tensors())
    results.emplace_back(reinterpret_cast<const char*>(tensor.data), static_cast<size_t>(tensor.type.bytes()));
  return results;
}

class HorizontalTraining : public testing::TestWithParam<Setting> {};

TEST_P(HorizontalTraining, GivesTheSameBits) {
  EXPECT_EQ(trained(options_of(GetParam(), true)), trained(options_of(GetParam(), false)));
}

// Of the update's nodes those that compute; sums over micro-batches are made as the gradients are.
size_t update_nodes(const Graph& graph) {
  return static_cast<size_t>(std::count_if(graph.nodes().begin(), graph.nodes().end(), [](const Node& node) {
    return node.name.starts_with("update") && dynamic_cast<const Leaf*>(node.op.get()) == nullptr &&
           dynamic_cast<const Accumulate*>(node.op.get()) == nullptr;
  }));
}

TEST_P(HorizontalTraining, HasAsManyNodesHoweverManyParametersThereAre) {
  StepGraphOptions options = options_of(GetParam(), true);
  const size_t few = update_nodes(training_graphs(options, nullptr).update());
  options.model.encoder_layers = 6;
  const size_t more = update_nodes(training_graphs(options, nullptr).update());
  EXPECT_LE(more, few + 4);  // the sum of all squares is a line of nodes
  EXPECT_LE(few, 40u);
}

// Nothing is held up that backward needs: that would keep what it reads, and all that blocks make again.
TEST_P(HorizontalTraining, NeedsNoMoreMemory) {
  const CpuKernelTable kernels(1);
  for (const Recompute recompute : {Recompute::kNone, Recompute::kBlock}) {
    StepGraphOptions options = options_of(GetParam(), true);
    options.model.d_model = options.model.d_ff = 64;
    options.model.encoder.max_length = options.model.decoder.max_length = 64;
    options.model.dropout = 0.1;
    options.shape = {16, 64, 64};
    options.recompute = recompute;
    const auto needs = [&] {
      int64_t most = 0;
      for (const auto& graph : training_graphs(options, nullptr).graphs)
        most = std::max(most, Program::arena_needed(*graph, kernels));
      return most;
    };
    const int64_t together = needs();
    options.for_gpu = false;
    EXPECT_LE(together, needs() + (64 << 10));
  }
}

INSTANTIATE_TEST_SUITE_P(Settings, HorizontalTraining,
                         testing::Values(Setting{"R+V", OptimizerKind::kAdamW},
                                         Setting{"R+V", OptimizerKind::kAdafactor},
                                         Setting{"D", OptimizerKind::kAdafactor, true},
                                         Setting{"LightConv", OptimizerKind::kAdamW, true},
                                         Setting{"V", OptimizerKind::kAdafactor, false, 2}));

}  // namespace
}  // namespace synthesizer
