// The classifier: what it is given and gives, that its loss is what its logits say, with padding and without, on any
// ranks.
#include "core/model/encoder_classifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "dist/thread_communicator.h"
#include "tests/core/model/model_run.h"
#include "tests/core/model/sizes.h"

namespace synthesizer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kPositions = 16, kFiveClasses = 5;

RunSetting classifier(std::string_view kind) {
  RunSetting setting{.config = tiny(attention(kind, kPositions)), .gradients = true};
  setting.config.structure = Structure::kEncoderClassifier;
  setting.config.num_classes = kFiveClasses;
  setting.shape.target_length = 0;
  setting.options.logits = true;
  return setting;
}

TEST(EncoderClassifier, TakesTextsAndGivesClasses) {
  Graph graph;
  const RunSetting setting = classifier("R+V");
  const Model model = build_model(graph, setting.config, setting.shape, {}, setting.options);
  EXPECT_TRUE(model.inputs.inputs && model.inputs.input_mask);
  EXPECT_FALSE(model.inputs.decoder_inputs);
  EXPECT_EQ(model.inputs.targets.shape(), Shape{kBatch(4)});
  EXPECT_EQ(model.inputs.weights.shape(), Shape{kBatch(4)});
  EXPECT_EQ(model.outputs.nll.shape(), Shape{kBatch(4)});
  EXPECT_EQ(model.outputs.logits.shape(), (Shape{kBatch(4), kClasses(kFiveClasses)}));
  EXPECT_EQ(graph.leaf("classifier.weight").shape(), (Shape{kModel(12), kClasses(kFiveClasses)}));
  EXPECT_EQ(graph.leaf("classifier.bias").shape(), Shape{kClasses(kFiveClasses)});
  EXPECT_FALSE(graph.leaf("decoder.final_norm.scale") || graph.leaf("output.weight"));
}

TEST(EncoderClassifier, RefusesByName) {
  const auto refusal = [](const RunSetting& setting) -> std::string {
    Graph graph;
    try {
      build_model(graph, setting.config, setting.shape, {}, setting.options);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "accepted";
  };
  RunSetting setting = classifier("V");
  setting.config.num_classes = 1;
  EXPECT_THAT(refusal(setting), AllOf(HasSubstr("num_classes"), HasSubstr("got 1"), HasSubstr("at least 2")));
  setting = classifier("V");
  setting.options.next_logits = true;
  EXPECT_THAT(refusal(setting), AllOf(HasSubstr("next_logits"), HasSubstr("classifier")));
  setting = classifier("V");
  setting.config.decoder.kind = "none";  // there is no decoder
  EXPECT_EQ(refusal(setting), "accepted");
}

TEST(EncoderClassifier, LossIsTheCrossEntropyOfItsLogits) {
  for (const bool padded : {true, false})
    for (const double smoothing : {0.0, 0.1}) {
      RunSetting setting = classifier("D+V");
      setting.options.input_mask = padded;
      setting.loss = {.z_loss = 0.01, .label_smoothing = smoothing};  // z_loss is for a vocabulary
      ModelRun model(setting);
      model.parameter("classifier.bias")[2] = 0.7;
      model.run();
      const std::vector<double> logits = model.output("logits");
      const auto weights = model.input("weights");
      const auto targets = model.ids("targets");
      ASSERT_EQ(targets.size(), 4u);
      double loss = 0;
      for (size_t row = 0; row < 4; ++row) {
        double sum = 0, mean = 0;
        for (size_t c = 0; c < kFiveClasses; ++c) {
          sum += std::exp(logits[row * kFiveClasses + c]);
          mean += logits[row * kFiveClasses + c] / kFiveClasses;
        }
        const double target = logits[row * kFiveClasses + static_cast<size_t>(targets[row])];
        loss += weights[row] * (std::log(sum) - (1 - smoothing) * target - smoothing * mean) / 4;
      }
      EXPECT_NEAR(model.loss(), loss, 1e-12);
    }
}

TEST(EncoderClassifier, BiasIsAddedToTheLogits) {
  ModelRun model(classifier("R"));
  model.run();
  const std::vector<double> before = model.output("logits");
  model.parameter("classifier.bias")[3] += 0.25;
  model.run();
  const std::vector<double> after = model.output("logits");
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i] - before[i], i % kFiveClasses == 3 ? 0.25 : 0, 1e-14);
}

TEST(EncoderClassifier, WithoutPaddingIsWithAllPositionsLive) {
  for (const char* kind : {"V", "R", "FD+FR"}) {
    RunSetting setting = classifier(kind);
    ModelRun masked(setting);
    const auto mask = masked.ids("input_mask");
    std::fill(mask.begin(), mask.end(), 1);
    setting.options.input_mask = false;
    ModelRun plain(setting);
    masked.run();
    plain.run();
    EXPECT_NEAR(masked.loss(), plain.loss(), 1e-13) << kind;
    for (const std::string& name : plain.outputs()) {
      const std::vector<double> a = masked.output(name), b = plain.output(name);
      for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-12) << kind << " " << name;
    }
  }
}

// A row that only fills up a batch may be all padding: its weight is 0 and nothing becomes NaN.
TEST(EncoderClassifier, IgnoresARowOfPadding) {
  RunSetting setting = classifier("R+V");
  ModelRun model(setting);
  const auto mask = model.ids("input_mask");
  std::fill(mask.end() - 11, mask.end(), 0);
  model.input("weights")[3] = 0;
  model.run();
  EXPECT_TRUE(std::isfinite(model.loss()));
  for (const std::string& name : model.outputs())
    for (const double value : model.output(name)) ASSERT_TRUE(std::isfinite(value)) << name;
}

TEST(EncoderClassifier, IsTheSameOnAnyRanks) {
  for (const char* kind : {"V", "R", "FR+FD"}) {
    RunSetting setting = classifier(kind);
    setting.config.dropout = 0.1;
    ModelRun whole(setting);
    whole.run(2);
    for (const int ranks : {2, 4})
      run_ranks(ranks, [&](Communicator& world) {
        ModelRun part(setting, &world);
        part.run(2);
        for (const std::string& name : whole.outputs()) {
          const std::vector<double> a = whole.output(name), b = part.output(name);
          ASSERT_EQ(a.size(), b.size()) << name;
          for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-12) << kind << " " << name;
        }
      });
  }
}

}  // namespace
}  // namespace synthesizer
