// A step that is not finite: its first tensor is named, on every rank alike; the update is left out, and nothing bad is
// saved.
#include "core/train/nonfinite.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/checkpoint/reader.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/train/trainer.h"
#include "dist/parallel.h"
#include "dist/thread_communicator.h"
#include "tests/core/train/small_step.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

StepGraphOptions options_of(const std::string& attention, OptimizerKind optimizer, int64_t rows) {
  StepGraphOptions options = small_step(attention, optimizer, rows);
  options.optimizer.clip_norm = 1;
  options.input_mask = true;
  return options;
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Rows of one batch, given again and again; the weights of `bad` batches (counted from 0) hold a NaN.
class Source : public BatchSource {
 public:
  Source(int64_t rows, std::function<bool(int64_t)> bad)
      : bad_(std::move(bad)),
        inputs_(static_cast<size_t>(rows * 8), 5),
        targets_(static_cast<size_t>(rows * 6), 7),
        weights_(static_cast<size_t>(rows * 6), 1.0f) {
    inputs_.back() = 0;  // a place that is masked
  }
  const Batch* next() override {
    weights_[3] = bad_(at_) ? kNaN : 1.0f;
    ++at_;
    batch_ = {inputs_, targets_, targets_, weights_, 24, {0, at_}};
    return &batch_;
  }
  void seek(DataPosition position) override { at_ = position.example; }

 private:
  std::function<bool(int64_t)> bad_;
  std::vector<int32_t> inputs_, targets_;
  std::vector<float> weights_;
  int64_t at_ = 0;
  Batch batch_;
};

// A run on some ranks, whose last rank gets the bad batches.
struct Outcome {
  std::string message;  // of the error that all ranks met
  int64_t step = 0;
  std::vector<nlohmann::json> lines;
};

Outcome train(const TemporaryFolder& folder, int ranks, TrainerOptions options, std::function<bool(int64_t)> bad,
              const std::function<void(StateStore&)>& spoil = {}, int64_t micro_batches = 1) {
  Outcome outcome;
  std::vector<std::string> messages(static_cast<size_t>(ranks));
  SignalHandlers signals;
  run_ranks(ranks, [&](Communicator& world) {
    const CpuKernelTable kernels(1);
    const Mesh mesh({{{"data", world.size()}}}, world);
    StepGraphOptions graphs = options_of("R+V", OptimizerKind::kAdamW, 4);
    graphs.accumulation.micro_batches.count = micro_batches;
    TrainStep step(training_graphs(graphs, partition_for(mesh, {{{"batch", "data"}}})), graphs.optimizer, kernels,
                   axis_communicators(mesh));
    step.state().initialize(1);
    if (spoil) spoil(step.state());
    Source source(
        4 / world.size(), world.rank() + 1 == world.size() ? bad : [](int64_t) { return false; });
    const RunFolder run(
        folder / "run", "", [](const std::string&, const std::string&) {}, world);
    TrainerOptions own = options;
    if (!own.learning_rate) own.learning_rate = [](int64_t) { return 1e-3; };
    Trainer trainer(own, step, source, nullptr, run, world, signals);
    trainer.resume();
    try {
      trainer.run();
    } catch (const Error& error) {
      messages[static_cast<size_t>(world.rank())] = error.what();
    }
    if (world.rank() == 0) outcome.step = trainer.step();
  });
  for (const std::string& message : messages) EXPECT_EQ(message, messages[0]);
  outcome.message = messages[0];
  std::ifstream in(folder / "run/metrics.jsonl");
  for (std::string line; std::getline(in, line);) outcome.lines.push_back(nlohmann::json::parse(line));
  return outcome;
}

std::vector<int64_t> saved_steps(const TemporaryFolder& folder) {
  std::vector<int64_t> steps;
  for (const auto& [step, path] : CheckpointFolder{folder / "run/checkpoints"}.list()) {
    run_ranks(1, [&, path = path](Communicator& world) { CheckpointReader(path).verify(world); });
    steps.push_back(step);
  }
  return steps;
}

TrainerOptions every_step(int64_t steps) {
  TrainerOptions options;
  options.steps = steps;
  options.log_every = 1;
  options.checkpoint_every = 1;
  return options;
}

TEST(NonFinite, AFiniteStepHasNone) {
  for (const char* attention : {"V", "R", "Fix", "D+R+V", "FR+FD"})
    for (const OptimizerKind optimizer : {OptimizerKind::kAdamW, OptimizerKind::kAdafactor})
      run_ranks(2, [&](Communicator& world) {
        const CpuKernelTable kernels(1);
        const Mesh mesh({{{"data", 2}}}, world);
        const StepGraphOptions graphs = options_of(attention, optimizer, 4);
        TrainStep step(training_graph(graphs, partition_for(mesh, {{{"batch", "data"}}})), graphs.optimizer, kernels,
                       axis_communicators(mesh));
        step.state().initialize(1);
        Source source(2, [](int64_t) { return false; });
        const std::optional<NonFinite> found = step.explain(*source.next(), 0, 1e-3, world);
        EXPECT_FALSE(found.has_value()) << attention << ": " << found->text;
      });
}

TEST(NonFinite, TheFirstTensorAndItsRankAreNamed) {
  const TemporaryFolder folder;
  const Outcome outcome = train(folder, 2, every_step(5), [](int64_t batch) { return batch == 3; });
  EXPECT_THAT(outcome.message,
              StartsWith("[train] step 4: weights (input, [batch 2, length 6]) has NaN at element 3 on "
                         "rank 1/2, the first tensor that is not finite (loss NaN, gradient norm NaN)"));
  EXPECT_THAT(outcome.message, HasSubstr("--init-from " + (folder / "run/checkpoints/step_00000003").string()));
  EXPECT_EQ(saved_steps(folder), (std::vector<int64_t>{2, 3}));
}

// The sums that a step leaves behind are of no step: those of a bad one must not be found in the next.
TEST(NonFinite, TheMicroBatchIsNamedAndAStepLeftOutIsForgotten) {
  const TemporaryFolder folder;
  TrainerOptions options = every_step(8);
  options.skip_nonfinite = true;
  const Outcome skipped = train(
      folder, 1, options, [](int64_t batch) { return batch == 3; }, {}, 4);
  EXPECT_EQ(skipped.message, "");
  EXPECT_EQ(skipped.step, 8);
  const TemporaryFolder other;
  const Outcome stopped = train(
      other, 1, every_step(8), [](int64_t batch) { return batch == 3; }, {}, 4);
  EXPECT_THAT(stopped.message,
              StartsWith("[train] step 4: weights (input, [batch 1, length 6]) has NaN at element 3 in "
                         "micro-batch 1 of 4, the first tensor that is not finite (loss NaN"));
}

TEST(NonFinite, AParameterIsNamedBeforeWhatIsMadeOfIt) {
  const TemporaryFolder folder;
  const auto spoil = [](StateStore& store) {
    store.write([](const StateTensor& tensor, std::byte* data) {
      if (tensor.name == "embedding.weight") reinterpret_cast<float*>(data)[18] = -INFINITY;
    });
  };
  for (const bool skip : {false, true}) {
    TrainerOptions options = every_step(5);
    options.skip_nonfinite = skip;  // no later step can be finite
    const Outcome outcome = train(
        folder, 1, options, [](int64_t) { return false; }, spoil);
    EXPECT_THAT(outcome.message, AllOf(StartsWith("[train] step 1: embedding.weight (parameter, ["),
                                       HasSubstr("has -infinity at element 18, the first")));
  }
  EXPECT_TRUE(saved_steps(folder).empty());
}

TEST(NonFinite, SkippedStepsLeaveTheStateAndAreDecidedByAllRanks) {
  std::string alone;
  for (const int ranks : {1, 2}) {
    const TemporaryFolder folder;
    TrainerOptions options = every_step(6);
    options.skip_nonfinite = true;
    const Outcome outcome = train(folder, ranks, options, [](int64_t batch) { return batch == 2 || batch == 3; });
    EXPECT_EQ(outcome.message, "");
    EXPECT_EQ(outcome.step, 6);
    ASSERT_EQ(outcome.lines.size(), 6u);
    for (size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(outcome.lines[i].at("step"), i + 1);
      EXPECT_EQ(outcome.lines[i].contains("loss"), i != 2 && i != 3);
    }
    EXPECT_EQ(outcome.lines[2].at("skipped_in_a_row"), 1);
    EXPECT_EQ(outcome.lines[3].at("skipped_in_a_row"), 2);
    EXPECT_EQ(saved_steps(folder), (std::vector<int64_t>{5, 6}));
  }
}

TEST(NonFinite, ASkippedStepSavesTheStateOfTheStepBefore) {
  const TemporaryFolder folder;
  TrainerOptions options = every_step(3);
  options.skip_nonfinite = true;
  train(folder, 1, options, [](int64_t batch) { return batch == 2; });
  const auto bytes = [&](const char* step) {
    return read_text_file(folder / "run/checkpoints" / step / "model.safetensors");
  };
  EXPECT_EQ(bytes("step_00000003"), bytes("step_00000002"));
}

TEST(NonFinite, TooManyInARowEndTheRunAcrossAResume) {
  const TemporaryFolder folder;
  TrainerOptions options = every_step(60);
  options.checkpoint_every = 0;
  options.skip_nonfinite = true;
  const auto bad = [](int64_t batch) { return batch >= 2; };
  EXPECT_EQ(train(folder, 1, options, bad).message, "");
  options.steps = 300;
  const Outcome outcome = train(folder, 1, options, bad);
  EXPECT_THAT(outcome.message, AllOf(StartsWith("[train] step 102: weights"), HasSubstr("100 updates in a row")));
  EXPECT_EQ(saved_steps(folder), (std::vector<int64_t>{60}));
}

TEST(NonFinite, AnUpdateThatOverflowsIsNotSaved) {
  const TemporaryFolder folder;
  TrainerOptions options = every_step(5);
  options.learning_rate = [](int64_t step) { return step < 2 ? 1e-3 : 1e39; };
  const Outcome outcome = train(folder, 2, options, [](int64_t) { return false; });
  EXPECT_THAT(outcome.message, AllOf(StartsWith("[train] step 3: "), HasSubstr("it is not saved")));
  EXPECT_EQ(saved_steps(folder), (std::vector<int64_t>{1, 2}));
}

}  // namespace
}  // namespace synthesizer
