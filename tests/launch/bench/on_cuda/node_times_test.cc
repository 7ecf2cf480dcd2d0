// `bench kernels --device cuda` on the stand-in for CUDA: a step's nodes by the device's clock, and the figures from
// them.
#include "launch/bench/node_times.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/graph/passes.h"
#include "core/tensor/device.h"
#include "dist/thread_communicator.h"
#include "launch/bench/device_figures.h"
#include "launch/machine.h"
#include "tests/core/kernels/cuda/device_check.h"
#include "tests/core/train/small_step.h"
#include "tests/support/test_kernels.h"

namespace synthesizer {
namespace {

StepGraphOptions step_options() {
  StepGraphOptions options = small_step("R+V", OptimizerKind::kAdamW, 16);
  options.model.vocab = options.model.d_model = 64;
  options.model.d_ff = 128;
  options.model.d_head = 32;
  options.model.encoder.max_length = options.model.decoder.max_length = 128;
  options.shape = {16, 128, 17};  // 131072 elements: the sum of two such tensors is more than the caches' share
  return options;
}

TEST(NodeTimesOnCuda, AreOfEveryNodeAndGiveADevicesFigures) {
  const std::unique_ptr<KernelTable> kernels = make_test_kernels();
  ASSERT_NE(kernels->device(), nullptr);
  const StepGraphOptions options = step_options();
  std::vector<NodeSeconds> nodes;
  run_ranks(1, [&](Communicator& world) { nodes = time_nodes(options, *kernels, 1, world); });
  const std::unique_ptr<Graph> graph = training_graph(options, nullptr);
  EXPECT_EQ(nodes.size(), static_cast<size_t>(std::count_if(graph->nodes().begin(), graph->nodes().end(),
                                                            [](const Node& node) { return !runs_nothing(node); })));
  for (const NodeSeconds& node : nodes) EXPECT_GT(node.seconds, 0) << node.op;
  cuda::check_captures();

  config::Device device;
  set_kernel_figures(nodes, 1e12, device);
  EXPECT_GT(device.op_seconds(), 0);
  EXPECT_GT(device.memory_bandwidth(), 0);
  EXPECT_GT(device.vector_flops(), 0);
  EXPECT_EQ(device.products(0).peak(), 1e12);
}

TEST(NodeTimesOnCuda, TheHostsLinkIsTimedByTheDevice) {
  const std::unique_ptr<KernelTable> kernels = make_test_kernels();
  const HostLink link = host_link(*kernels->device());
  EXPECT_GT(link.to_device, 0);
  EXPECT_GT(link.to_host, 0);
}

}  // namespace
}  // namespace synthesizer
