// A whole step with heads and feed-forward split over two ranks of this process: loss and every gradient are those of
// one rank. Model code does not know; the partition pass inserts what makes it so.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/graph/program.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/train/step_graph.h"
#include "dist/parallel.h"
#include "dist/thread_communicator.h"

namespace synthesizer {
namespace {

using Results = std::map<std::string, std::vector<double>>;

StepGraphOptions step(const std::string& encoder, const std::string& decoder) {
  StepGraphOptions options;
  ModelConfig& model = options.model;
  model.vocab = 64;
  model.d_model = 16;
  model.d_ff = 32;
  model.num_heads = 4;
  model.d_head = 4;
  model.encoder_layers = model.decoder_layers = 2;
  model.encoder.kind = encoder;
  model.decoder.kind = decoder;
  model.encoder.max_length = model.decoder.max_length = 16;
  options.shape = {3, 13, 9};
  options.dtype = DType::kFloat64;
  options.input_mask = true;
  options.update = false;
  options.gradient_outputs = true;
  return options;
}

void feed(Program& program) {
  const auto ids = [&](const std::string& name, uint32_t stream) {
    uint32_t i = 0;
    for (int32_t& id : program.input<int32_t>(name))
      id = static_cast<int32_t>(1 + philox({i++, stream, 0, 0}, {})[0] % 63);
  };
  ids("inputs", 1);
  ids("decoder_inputs", 2);
  ids("targets", 3);
  const std::span<int32_t> mask = program.input<int32_t>("input_mask");
  for (size_t i = 0; i < mask.size(); ++i) mask[i] = i % 13 < 13 - 4 * (i / 13) ? 1 : 0;
  std::ranges::fill(program.input<double>("weights"), 1.0);
  program.input<double>("denominator")[0] = 27;
}

// Every output of the step, whole, as the first rank has it.
Results run(const StepGraphOptions& options, int ranks) {
  Results results;
  run_ranks(ranks, [&](Communicator& world) {
    const Mesh mesh({.axes = {{"tensor", ranks}}}, world);
    const auto graph = training_graph(options, partition_for(mesh, {{{"heads", "tensor"}, {"ff", "tensor"}}}));
    StateStore store(*graph);
    store.initialize(5);
    const CpuKernelTable kernels(1);
    Program program(*graph, kernels, axis_communicators(mesh), store);
    feed(program);
    program.run();
    if (world.rank() != 0) return;
    for (const auto& [name, ref] : graph->outputs()) {
      const auto values = program.output<double>(name);
      results[name] = {values.begin(), values.end()};
    }
  });
  return results;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

class TensorParallel : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(TensorParallel, GivesWhatOneRankGives) {
  const StepGraphOptions options = step(GetParam().first, GetParam().second);
  const Results whole = run(options, 1), split = run(options, 2);
  ASSERT_EQ(whole.size(), split.size());
  for (const auto& [name, expected] : whole) {
    const std::vector<double>& got = split.at(name);
    ASSERT_EQ(got.size(), expected.size()) << name;
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - expected[i]));
    EXPECT_LE(worst, 1e-12 * std::max(largest(expected), 1e-3)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Attentions, TensorParallel,
                         testing::Values(std::pair{"R+V", "D+FR"}, std::pair{"Conv", "R+Conv"},
                                         std::pair{"Bottleneck", "ConvBottleneck+V"}, std::pair{"GLU+FD", "GLU"},
                                         std::pair{"LightConv", "LightConv"}, std::pair{"DynConv", "DynConv"},
                                         std::pair{"Linformer", "V"}),
                         [](const auto& info) {
                           std::string name = std::string(info.param.first) + "_" + info.param.second;
                           std::replace(name.begin(), name.end(), '+', '_');
                           return name;
                         });

}  // namespace
}  // namespace synthesizer
