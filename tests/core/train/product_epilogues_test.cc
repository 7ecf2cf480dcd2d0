// Biases in products and relu's gradient by masks, in whole steps: less to run, and what must not change does not.
#include "core/ops/passes/product_epilogues.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/graph/memory_plan.h"
#include "core/graph/schedule.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/ops/einsum.h"
#include "core/ops/passes/chain_pass.h"
#include "core/ops/passes/fuse.h"
#include "core/train/train_step.h"
#include "tests/core/train/small_step.h"

namespace synthesizer {
namespace {

constexpr int64_t kRows = 4;

StepGraphOptions options_of(const std::string& attention, bool bfloat16) {
  StepGraphOptions options = small_step(attention, OptimizerKind::kAdamW, kRows);
  options.bfloat16 = bfloat16;
  options.model.dropout = 0.25;
  return options;
}

size_t count(const Graph& graph, bool (*is)(const Einsum&)) {
  size_t found = 0;
  for (const Node& node : graph.nodes())
    if (const auto* product = dynamic_cast<const Einsum*>(node.op.get())) found += is(*product);
  return found;
}

int64_t arena_of(const Graph& graph) { return plan_memory(graph, schedule(graph), CpuKernelTable(1)).arena_bytes; }

TEST(BiasesInTraining, OfDenseAreNodesLess) {
  for (const bool bfloat16 : {false, true}) {
    StepGraphOptions options = options_of("D", bfloat16);
    const auto biased = [](const Einsum& product) { return product.has_bias(); };
    // The layer of each of both stacks has one.
    EXPECT_EQ(count(*training_graph(options, nullptr), biased), 2u);
    options.passes = false;
    const auto plain = training_graph(options, nullptr);
    const auto before = make_chains(*fuse_exactly(*plain)), after = make_chains(*fuse_exactly(*take_biases(*plain)));
    EXPECT_LE(after->nodes().size() + 2, before->nodes().size());
    EXPECT_LE(arena_of(*after), arena_of(*before));
  }
}

// Some steps: all weights after them, and the losses.
std::vector<std::string> trained(const StepGraphOptions& options) {
  std::vector<int32_t> inputs, targets;
  for (int32_t i = 0; i < kRows * 8; ++i) inputs.push_back(1 + i * 7 % 46);
  for (int32_t i = 0; i < kRows * 6; ++i) targets.push_back(1 + i * 5 % 46);
  const std::vector<float> weights(targets.size(), 1.0f);
  const CpuKernelTable kernels(1);
  TrainStep step(training_graphs(options, nullptr), options.optimizer, kernels, {});
  step.state().initialize(1);
  std::vector<std::string> bytes;
  for (int64_t i = 0; i < 3; ++i)
    bytes.push_back(std::to_string(step.run({inputs, targets, targets, weights, 24, {}}, i, 0.01).loss));
  for (const StateTensor& tensor : step.state().tensors())
    bytes.emplace_back(reinterpret_cast<const char*>(tensor.data), static_cast<size_t>(tensor.type.bytes()));
  return bytes;
}

// Where a bias is added decides how often a sum is rounded in bf16; recompute must not decide that.
TEST(BiasesInTraining, DoNotDependOnRecompute) {
  for (const char* attention : {"D", "FD", "R+D"}) {
    SCOPED_TRACE(attention);
    StepGraphOptions options = options_of(attention, true);
    const std::vector<std::string> expected = trained(options);
    for (const Recompute choice : {Recompute::kAttention, Recompute::kBlock}) {
      options.recompute = choice;
      EXPECT_TRUE(trained(options) == expected) << static_cast<int>(choice);
    }
  }
}

TEST(ReluMasksInTraining, GiveTheSameBits) {
  for (const bool bfloat16 : {false, true})
    for (const Recompute choice : {Recompute::kNone, Recompute::kBlock}) {
      StepGraphOptions options = options_of("D", bfloat16);
      options.recompute = choice;
      options.model.dropout = 0;  // which would come between relu and its product's gradient
      const std::vector<std::string> expected = trained(options);
      options.for_gpu = true;
      // Of the feed-forward layers of both stacks; D's own are products of each head.
      EXPECT_EQ(count(*training_graph(options, nullptr), [](const Einsum& p) { return p.has_mask(); }), 4u);
      EXPECT_TRUE(trained(options) == expected);
    }
}

}  // namespace
}  // namespace synthesizer
