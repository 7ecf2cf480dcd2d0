// Models as they run: the alignment that examples share is made once, losses are what the logits say, decoding gives
// the logits of its position, and dropout is the same on any number of ranks.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/graph/differentiate.h"
#include "core/graph/program.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/model/model.h"
#include "core/ops/elementwise.h"
#include "dist/parallel.h"
#include "dist/thread_communicator.h"
#include "tests/core/model/sizes.h"

namespace synthesizer {
namespace {

constexpr int64_t kPositions = 16;

struct Setting {
  ModelConfig config;
  BatchShape shape{.batch = 4, .source_length = 11, .target_length = 7};
  LossConfig loss;
  ModelOptions options{.dtype = DType::kFloat64};
  bool gradients = false;  // of every parameter, as training has them
};

// A model on one rank, or one rank's part of it, with inputs that depend on their place in the whole batch alone.
class ModelRun {
 public:
  explicit ModelRun(const Setting& setting, Communicator* world = nullptr) : setting_(setting), world_(world) {
    auto whole = std::make_unique<Graph>();
    const ModelOutputs out = build_model(*whole, setting.config, setting.shape, setting.loss, setting.options).outputs;
    const std::pair<const char*, Value> outputs[] = {
        {"loss", out.loss}, {"nll_sum", out.nll_sum}, {"logits", out.logits}, {"next_logits", out.next_logits}};
    for (const auto& [name, value] : outputs)
      if (value) whole->mark_output(name, value);
    if (setting.gradients) add_gradients(*whole, out.loss);
    AxisCommunicators communicators;
    graph_ = std::move(whole);
    if (world != nullptr) {
      const Mesh mesh({.axes = {{"data", world->size()}}}, *world);
      graph_ = partition_for(mesh, {{{"batch", "data"}}})(*graph_);
      communicators["data"] = world;
    }
    store_ = std::make_unique<StateStore>(*graph_);
    store_->initialize(3);
    kernels_ = std::make_unique<CpuKernelTable>(1, &counters_);
    program_ = std::make_unique<Program>(*graph_, *kernels_, communicators, *store_);
    feed();
  }

  void run(int64_t step = 0, int64_t position = 0) {
    if (program_->has_input("step")) program_->input<int64_t>("step")[0] = step;
    if (program_->has_input("position")) program_->input<int64_t>("position")[0] = position;
    program_->run();
  }
  std::vector<double> output(const char* name) {
    const auto values = program_->output<double>(name);
    return {values.begin(), values.end()};
  }
  double loss() { return output("loss")[0]; }
  std::vector<double> input(const char* name) {
    const auto values = program_->input<double>(name);
    return {values.begin(), values.end()};
  }
  std::vector<int32_t> ids(const char* name) {
    const auto values = program_->input<int32_t>(name);
    return {values.begin(), values.end()};
  }
  const KernelCounters& counters() const { return counters_; }

 private:
  static void add_gradients(Graph& graph, Value loss) {
    std::vector<Value> parameters;
    for (const Node& node : graph.nodes())
      if (const auto* leaf = dynamic_cast<const Leaf*>(node.op.get()); leaf && leaf->kind() == Leaf::Kind::kParameter)
        parameters.push_back(graph.value({node.id, 0}));
    const auto gradients = differentiate(loss, parameters, [](Value a, Value b) { return a + b; });
    for (size_t i = 0; i < parameters.size(); ++i)
      graph.mark_output("gradient." + parameters[i].node().name, gradients[i]);
  }
  void feed_ids(const char* name, int64_t row_size, uint32_t salt) {
    if (!program_->has_input(name)) return;
    const auto to = program_->input<int32_t>(name);
    const int64_t begin = world_ != nullptr ? world_->rank() * static_cast<int64_t>(to.size()) : 0;
    for (size_t i = 0; i < to.size(); ++i) {
      const int64_t index = begin + static_cast<int64_t>(i);
      const bool mask = std::string_view(name) == "input_mask";
      if (mask)  // row r has r + 3 live positions
        to[i] = index % row_size < index / row_size + 3 ? 1 : 0;
      else
        to[i] = static_cast<int32_t>(std::mt19937(salt + static_cast<uint32_t>(index))() %
                                     static_cast<uint32_t>(setting_.config.vocab));
    }
  }
  void feed() {
    feed_ids("inputs", setting_.shape.source_length, 0);
    feed_ids("input_mask", setting_.shape.source_length, 0);
    feed_ids("decoder_inputs", setting_.shape.target_length, 1000);
    feed_ids("targets", setting_.shape.target_length, 2000);
    if (!program_->has_input("weights")) return;
    for (double& weight : program_->input<double>("weights")) weight = 1;
    if (world_ == nullptr || world_->rank() == 0) program_->input<double>("weights")[0] = 0.5;
    program_->input<double>("denominator")[0] =
        static_cast<double>(setting_.shape.batch * setting_.shape.target_length);
  }

  Setting setting_;
  Communicator* world_;
  KernelCounters counters_;
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<CpuKernelTable> kernels_;
  std::unique_ptr<Program> program_;
};

TEST(SharedAlignment, IsMadeOnceALayerAStepInADecoder) {
  for (const char* kind : {"R", "Fix", "FR"})
    for (const int64_t batch : {1, 3})
      for (const double dropout : {0.0, 0.1}) {
        Setting setting{.config = tiny(attention(kind, kPositions)), .gradients = true};
        setting.config.structure = Structure::kDecoder;
        setting.config.dropout = dropout;
        setting.shape.batch = batch;
        ModelRun model(setting);
        model.run();
        EXPECT_EQ(model.counters().softmax_runs, setting.config.decoder_layers) << kind;
        EXPECT_EQ(model.counters().softmax_rows, setting.config.decoder_layers * 3 * 7) << kind;
      }
}

TEST(SharedAlignment, IsMadeOnceALayerAStepInAnEncoderWithPadding) {
  for (const char* kind : {"R", "Fix", "FR"})
    for (const bool padded : {false, true})
      for (const int64_t batch : {1, 3}) {
        Setting setting{.config = tiny(attention(kind, kPositions)), .gradients = true};
        setting.shape.batch = batch;
        setting.options.input_mask = padded;
        ModelRun model(setting);
        model.run();
        const int64_t self = 2 + 3, cross = 3;
        EXPECT_EQ(model.counters().softmax_runs, self + cross) << kind;
        EXPECT_EQ(model.counters().softmax_rows, 3 * (2 * 11 + 3 * 7 + cross * batch * 7)) << kind;
      }
}

// The mixture's own weights are a softmax too, of a single row.
TEST(SharedAlignment, IsMadeOnceForAMixtureOfSharedParts) {
  for (const char* kind : {"R+Fix", "R+FR", "R+Fix+FR"}) {
    Setting setting{.config = tiny(attention(kind, kPositions)), .gradients = true};
    setting.config.structure = Structure::kDecoder;
    ModelRun model(setting);
    model.run();
    EXPECT_EQ(model.counters().softmax_rows, setting.config.decoder_layers * (3 * 7 + 1)) << kind;
    setting.config.decoder.mixture = Mixture::kSum;
    ModelRun summed(setting);
    summed.run();
    EXPECT_EQ(summed.counters().softmax_runs, setting.config.decoder_layers) << kind;
  }
}

TEST(Loss, IsWhatTheLogitsSay) {
  for (const double smoothing : {0.0, 0.1}) {
    Setting setting{.config = tiny(attention("R+V", kPositions)), .loss = {0.01, smoothing}};
    setting.options.logits = true;
    ModelRun model(setting);
    model.run();
    const std::vector<double> logits = model.output("logits"), weights = model.input("weights");
    const std::vector<int32_t> targets = model.ids("targets");
    const size_t vocab = 37, padded = 40;  // no probability for the padding of the vocabulary
    double loss = 0, nll_sum = 0;
    for (size_t i = 0; i < targets.size(); ++i) {
      const double* row = &logits[i * padded];
      double sum = 0, mean = 0;
      for (size_t v = 0; v < vocab; ++v) {
        sum += std::exp(row[v]);
        mean += row[v] / static_cast<double>(vocab);
      }
      const double log_z = std::log(sum), nll = log_z - row[targets[i]];
      loss += weights[i] * ((1 - smoothing) * nll + smoothing * (log_z - mean) + 0.01 * log_z * log_z);
      nll_sum += weights[i] * nll;
    }
    EXPECT_NEAR(model.loss(), loss / static_cast<double>(targets.size()), 1e-12);
    EXPECT_NEAR(model.output("nll_sum")[0], nll_sum, 1e-10);
  }
}

TEST(Loss, IsPlainInEvaluation) {
  Setting setting{.config = tiny(attention("V")), .loss = {0.01, 0.1}};
  setting.config.dropout = 0.5;
  setting.options.mode = Mode::kEvaluate;
  ModelRun model(setting);
  model.run();
  EXPECT_NEAR(model.loss(), model.output("nll_sum")[0] / 28, 1e-12);
}

TEST(Decoding, GivesTheLogitsOfItsPosition) {
  Setting setting{.config = tiny(attention("FR+V", kPositions))};
  setting.options = {
      .mode = Mode::kEvaluate, .dtype = DType::kFloat64, .loss = false, .logits = true, .next_logits = true};
  ModelRun model(setting);
  for (const int64_t position : {0, 4, 6}) {
    model.run(0, position);
    const std::vector<double> all = model.output("logits"), next = model.output("next_logits");
    for (size_t row = 0; row < 4; ++row)
      for (size_t v = 0; v < 40; ++v)
        ASSERT_NEAR(next[row * 40 + v], all[(row * 7 + static_cast<size_t>(position)) * 40 + v], 1e-12);
  }
}

TEST(Dropout, DependsOnTheStepAndNotOnTheRanks) {
  for (const char* kind : {"R", "D+V"})
    for (const bool broadcast : {true, false}) {
      Setting setting{.config = tiny(attention(kind, kPositions))};
      setting.config.dropout = 0.2;
      setting.config.dropout_broadcast = broadcast;
      ModelRun whole(setting);
      whole.run(5);
      const double loss = whole.loss();
      whole.run(5);
      EXPECT_EQ(whole.loss(), loss);
      whole.run(6);
      EXPECT_NE(whole.loss(), loss);
      for (const int ranks : {2, 4})
        run_ranks(ranks, [&](Communicator& world) {
          ModelRun part(setting, &world);
          part.run(5);
          EXPECT_NEAR(part.loss(), loss, 1e-12) << kind << " on " << ranks;
        });
    }
}

}  // namespace
}  // namespace synthesizer
