// Weights with bf16 copies that live between steps train to the same bits as weights that every step casts anew; the
// copies are what a cast would give after every step, one that is left out too; and a checkpoint knows nothing of them.
#include "core/ops/passes/keep_casts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "core/checkpoint/state_slices.h"
#include "core/checkpoint/writer.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/tensor/bfloat16.h"
#include "core/train/evaluation.h"
#include "core/train/train_step.h"
#include "dist/fake_communicator.h"
#include "dist/plan.h"
#include "tests/core/train/small_step.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

constexpr int64_t kRows = 4;

struct Setting {
  const char* attention;
  OptimizerKind optimizer;
  int64_t micro_batches = 1;
  bool in_parts = false;  // the optimizer's update as ZeRO has it

  friend void PrintTo(const Setting& setting, std::ostream* out) {
    *out << fmt::format("{} {} {}{}", setting.attention, static_cast<int>(setting.optimizer), setting.micro_batches,
                        setting.in_parts ? " in parts" : "");
  }
};

StepGraphOptions options_of(const Setting& setting, bool keep) {
  StepGraphOptions options = small_step(setting.attention, setting.optimizer, kRows);
  options.bfloat16 = true;
  options.optimizer.clip_norm = 1;
  options.optimizer.adafactor.min_factored = 4;
  options.optimizer.in_parts = setting.in_parts;
  options.accumulation.micro_batches.count = setting.micro_batches;
  options.keep_casts = keep;
  return options;
}

class Training {
 public:
  explicit Training(const StepGraphOptions& options)
      : kernels_(1), step_(training_graphs(options, nullptr), options.optimizer, kernels_, {}) {
    for (size_t i = 0; i < inputs_.size(); ++i) inputs_[i] = static_cast<int32_t>(1 + i * 7 % 46);
    for (size_t i = 0; i < targets_.size(); ++i) targets_[i] = static_cast<int32_t>(1 + i * 5 % 46);
    step_.state().initialize(1);
  }

  // Steps from `from` on; a weight of the batch of step `bad` is NaN.
  void train(int64_t from, int64_t count, int64_t bad = -1) {
    for (int64_t i = from; i < from + count; ++i) {
      weights_[3] = i == bad ? NAN : 1.0f;
      const StepResult result = step_.run({inputs_, targets_, targets_, weights_, 24, {}}, i, 0.01);
      EXPECT_EQ(result.finite, i != bad);
      losses_.push_back(result.loss);
      expect_copies();
    }
  }
  std::map<std::string, std::string> state() {
    std::map<std::string, std::string> bytes;
    for (const StateTensor& tensor : step_.state().tensors())
      bytes[tensor.name].assign(reinterpret_cast<const char*>(tensor.data), static_cast<size_t>(tensor.type.bytes()));
    return bytes;
  }
  const std::vector<double>& losses() const { return losses_; }
  TrainStep& step() { return step_; }

 private:
  void expect_copies() {
    for (const StateTensor& copy : step_.state().derived()) {
      const auto* from = reinterpret_cast<const float*>(step_.state().at(copy.source).data);
      const auto* bits = reinterpret_cast<const BFloat16*>(copy.data);
      for (int64_t i = 0; i < copy.type.shape.elements(); ++i)
        ASSERT_EQ(bits[i].bits, to_bfloat16(from[i]).bits) << copy.name << ", element " << i;
    }
  }

  CpuKernelTable kernels_;
  TrainStep step_;
  std::vector<int32_t> inputs_ = std::vector<int32_t>(kRows * 8), targets_ = std::vector<int32_t>(kRows * 6);
  std::vector<float> weights_ = std::vector<float>(kRows * 6, 1.0f);
  std::vector<double> losses_;
};

void expect_same_state(Training& got, Training& expected) {
  const auto all = expected.state(), found = got.state();
  ASSERT_EQ(found.size(), all.size());
  for (const auto& [name, bytes] : all) EXPECT_TRUE(found.at(name) == bytes) << name << " differs";
}

// Casts of parameters, in all graphs of a step.
size_t casts_of_parameters(const StepGraphs& graphs) {
  size_t casts = 0;
  for (const auto& graph : graphs.graphs)
    for (const Node& node : graph->nodes())
      casts += node.op->name() == "cast" && graph->node(node.inputs[0].node).op->name() == "parameter";
  return casts;
}

class KeptCasts : public testing::TestWithParam<Setting> {};

TEST_P(KeptCasts, GiveTheSameBits) {
  Training kept(options_of(GetParam(), true)), cast(options_of(GetParam(), false));
  EXPECT_GT(casts_of_parameters(cast.step().graphs()), 10u);
  EXPECT_EQ(casts_of_parameters(kept.step().graphs()), 0u);
  EXPECT_GT(kept.step().state().derived().size(), 10u);
  EXPECT_TRUE(cast.step().state().derived().empty());
  kept.train(0, 5, /*bad=*/2);
  cast.train(0, 5, /*bad=*/2);
  for (size_t i = 0; i < kept.losses().size(); ++i)
    if (i != 2) {
      EXPECT_EQ(kept.losses()[i], cast.losses()[i]) << "step " << i;
    }
  EXPECT_NE(kept.losses()[4], kept.losses()[0]);
  expect_same_state(kept, cast);
}

// One node writes both: there is no assign beside it.
TEST_P(KeptCasts, AreWrittenWithTheirParameters) {
  const StepGraphs graphs = training_graphs(options_of(GetParam(), true), nullptr);
  const Graph& graph = graphs.update();
  std::map<std::string, int> writers;
  for (const Node& node : graph.nodes())
    for (const Alias& alias : node.op->aliases())
      if (alias.kind == Alias::Kind::kUpdate)
        writers[graph.node(node.inputs[static_cast<size_t>(alias.input)].node).name] = node.id;
  size_t copies = 0;
  for (const Node& node : graph.nodes())
    if (node.op->name() == "derived") {
      ++copies;
      const std::string source = node.name.substr(0, node.name.rfind('.'));
      EXPECT_EQ(writers.at(node.name), writers.at(source)) << node.name;
    }
  EXPECT_GT(copies, 10u);
}

TEST_P(KeptCasts, AreNotInCheckpointsAndFollowThem) {
  const TemporaryFolder folder;
  FakeCommunicator alone(0, 1);
  Training whole(options_of(GetParam(), true)), saved(options_of(GetParam(), true));
  whole.train(0, 4);
  saved.train(0, 2);
  CheckpointWriter writer({folder / "run", 1, 0}, alone);
  CheckpointState state;
  state.step = 2;
  writer.begin(state, slices_to_write(saved.step().state(), CheckpointPart::kModel),
               slices_to_write(saved.step().state(), CheckpointPart::kOptimizer));
  writer.finish();
  const CheckpointReader reader(*find_newest_checkpoint(folder / "run", alone).folder);
  for (const CheckpointPart part : kCheckpointParts)
    for (const StoredTensor& tensor : reader.file(part).tensors()) EXPECT_FALSE(tensor.name.ends_with(".bf16"));
  for (const bool keep : {true, false}) {  // a run may go on in either way
    Training resumed(options_of(GetParam(), keep));
    for (const CheckpointPart part : kCheckpointParts) read_state(reader, resumed.step().state(), part);
    resumed.train(2, 2);
    expect_same_state(resumed, whole);
  }
  Training other(options_of(GetParam(), true)), of_cast(options_of(GetParam(), false));  // with an optimizer of its own
  for (Training* run : {&other, &of_cast}) {
    read_state(reader, run->step().state(), CheckpointPart::kModel);
    run->train(0, 2);
  }
  expect_same_state(other, of_cast);
}

TEST_P(KeptCasts, AreInThePlanToTheByte) {
  const CpuKernelTable kernels(1);
  Training kept(options_of(GetParam(), true)), cast(options_of(GetParam(), false));
  const StepPlan plan = plan_step(kept.step().graphs(), kernels, {});
  const StepPlan without = plan_step(cast.step().graphs(), kernels, {});
  int64_t copies = 0;
  for (const StateTensor& tensor : kept.step().state().derived()) copies += align_up(tensor.type.bytes());
  EXPECT_EQ(plan.copies, copies);
  EXPECT_EQ(without.copies, 0);
  EXPECT_EQ(plan.state() - copies, without.state());
  EXPECT_EQ(plan.state(), kept.step().state().bytes());
  EXPECT_EQ(plan.arena, kept.step().program().arena_bytes());
  EXPECT_LE(plan.arena, without.arena);
  EXPECT_EQ(plan.flops, without.flops);
}

INSTANTIATE_TEST_SUITE_P(
    Updates, KeptCasts,
    testing::Values(Setting{"R+V", OptimizerKind::kAdamW}, Setting{"R+V", OptimizerKind::kAdafactor},
                    Setting{"D", OptimizerKind::kAdamW, 2}, Setting{"FR", OptimizerKind::kAdafactor, 4},
                    Setting{"R+V", OptimizerKind::kAdamW, 1, true}, Setting{"D", OptimizerKind::kAdamW, 2, true}));

// Of what is frozen too, which nothing writes.
TEST(KeepCastsInTraining, FrozenWeightsHaveCopies) {
  const auto options = [](bool keep) {
    StepGraphOptions options = options_of({"R+V", OptimizerKind::kAdamW}, keep);
    options.freeze = {"encoder"};
    return options;
  };
  Training kept(options(true)), cast(options(false));
  EXPECT_EQ(casts_of_parameters(kept.step().graphs()), 0u);
  kept.train(0, 3);
  cast.train(0, 3);
  expect_same_state(kept, cast);
}

TEST(KeepCastsInTraining, BlocksThatAreMadeAgainCastAgain) {
  StepGraphOptions options = options_of({"R+V", OptimizerKind::kAdamW}, true);
  Training kept(options);
  options.recompute = Recompute::kAttention;
  Training attention(options);
  options.recompute = Recompute::kBlock;
  Training block(options);
  EXPECT_FALSE(attention.step().state().derived().empty());
  EXPECT_TRUE(block.step().state().derived().empty());
  for (Training* run : {&kept, &attention, &block}) run->train(0, 3);
  expect_same_state(attention, kept);
  expect_same_state(block, kept);
}

TEST(KeepCastsInTraining, NeitherFloat32NorStepsWithoutPassesHaveCopies) {
  StepGraphOptions options = options_of({"R+V", OptimizerKind::kAdamW}, true);
  options.passes = false;
  EXPECT_TRUE(StateStore(*training_graph(options, nullptr)).derived().empty());
  options.passes = true;
  options.bfloat16 = false;
  EXPECT_TRUE(StateStore(*training_graph(options, nullptr)).derived().empty());
}

// A validation reads the parameters themselves, of the same store.
TEST(KeepCastsInTraining, EvaluationGoesOnReadingTheParameters) {
  std::vector<float> nll[2];
  for (const bool keep : {false, true}) {
    const StepGraphOptions options = options_of({"R+V", OptimizerKind::kAdamW}, keep);
    Training run(options);
    run.train(0, 2);
    const auto graph = evaluation_graph(options, nullptr);
    for (const Node& node : graph->nodes()) EXPECT_NE(node.op->name(), "derived");
    const CpuKernelTable kernels(1);
    Program program(*graph, kernels, {}, run.step().state());
    for (const char* name : {"inputs", "decoder_inputs", "targets"})
      std::ranges::fill(program.input<int32_t>(name), int32_t{7});
    program.run();
    const auto values = program.output<float>("nll");
    nll[keep].assign(values.begin(), values.end());
  }
  EXPECT_EQ(nll[1], nll[0]);
}

}  // namespace
}  // namespace synthesizer
