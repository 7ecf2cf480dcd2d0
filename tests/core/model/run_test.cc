// Models as they run: the alignment that examples share is made once, losses are what the logits say, decoding gives
// the logits of its position, and dropout is the same on any number of ranks.
#include <gtest/gtest.h>

#include <cmath>

#include "dist/thread_communicator.h"
#include "tests/core/model/model_run.h"
#include "tests/core/model/sizes.h"

namespace synthesizer {
namespace {

constexpr int64_t kPositions = 16;

TEST(SharedAlignment, IsMadeOnceALayerAStepInADecoder) {
  for (const char* kind : {"R", "Fix", "FR"})
    for (const int64_t batch : {1, 3})
      for (const double dropout : {0.0, 0.1}) {
        RunSetting setting{.config = tiny(attention(kind, kPositions)), .gradients = true};
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
        RunSetting setting{.config = tiny(attention(kind, kPositions)), .gradients = true};
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
    RunSetting setting{.config = tiny(attention(kind, kPositions)), .gradients = true};
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
    RunSetting setting{.config = tiny(attention("R+V", kPositions)), .loss = {0.01, smoothing}};
    setting.options.logits = true;
    ModelRun model(setting);
    model.run();
    const std::vector<double> logits = model.output("logits");
    const auto weights = model.input("weights");
    const auto targets = model.ids("targets");
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
  RunSetting setting{.config = tiny(attention("V")), .loss = {0.01, 0.1}};
  setting.config.dropout = 0.5;
  setting.options.mode = Mode::kEvaluate;
  ModelRun model(setting);
  model.run();
  EXPECT_NEAR(model.loss(), model.output("nll_sum")[0] / 28, 1e-12);
}

TEST(Decoding, GivesTheLogitsOfItsPosition) {
  RunSetting setting{.config = tiny(attention("FR+V", kPositions))};
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
      RunSetting setting{.config = tiny(attention(kind, kPositions))};
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
