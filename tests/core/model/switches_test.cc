// Switches whose two settings are one model where they should be, and another where not: the weights of a mixture for a
// layer or for each head, and the width of a Dense function's hidden layer.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "tests/core/model/model_run.h"
#include "tests/core/model/sizes.h"

namespace synthesizer {
namespace {

constexpr int64_t kPositions = 16;

// Every parameter of `from`, drawn anew so that none is 0 or 1 throughout, under its name in `to`: the same elements,
// or each of them for every head.
void draw_and_copy(ModelRun& from, ModelRun& to, size_t heads) {
  double value = 0.1;
  for (const StateTensor& tensor : from.parameters().tensors()) {
    const auto source = from.parameter(tensor.name), target = to.parameter(tensor.name);
    for (double& element : source) element += 0.3 * std::sin(value += 1);
    const size_t times = target.size() / source.size();
    ASSERT_TRUE(times == 1 || times == heads) << tensor.name;
    for (size_t i = 0; i < target.size(); ++i) target[i] = source[i / times];
  }
}

TEST(MixtureScope, OfEachHeadIsThatOfALayerWhereItsHeadsAgree) {
  for (const Mixture mixture : {Mixture::kSoftmax, Mixture::kSigmoid})
    for (const char* kind : {"R+V", "D+V", "FR+FD", "Fix+D"})
      for (const bool shared : {false, true}) {
        RunSetting setting{.config = tiny(attention(kind, kPositions))};
        for (AttentionConfig* stack : {&setting.config.encoder, &setting.config.decoder}) {
          stack->mixture = mixture;
          stack->share_across_heads = shared;
        }
        ModelRun layer(setting);
        setting.config.encoder.mixture_scope = setting.config.decoder.mixture_scope = MixtureScope::kHead;
        ModelRun head(setting);
        draw_and_copy(layer, head, 3);
        layer.run();
        head.run();
        EXPECT_NEAR(head.loss(), layer.loss(), 1e-13) << kind;
        head.parameter("decoder.layers.0.self_attention.mixture.alpha")[1] += 1;
        head.run();
        EXPECT_GT(std::abs(head.loss() - layer.loss()), 1e-9) << kind;
      }
}

// With one head as wide as the model, the layer of a head and the layer of all heads are the same.
TEST(DenseWidth, OfTheModelIsThatOfOneHeadAsWide) {
  for (const char* kind : {"D", "FD", "D+V"})
    for (const bool bias : {true, false}) {
      RunSetting setting{.config = tiny(attention(kind, kPositions))};
      setting.config.num_heads = 1;
      setting.config.d_head = setting.config.d_model;
      setting.config.encoder.dense_bias = setting.config.decoder.dense_bias = bias;
      ModelRun head(setting);
      setting.config.encoder.dense_width = setting.config.decoder.dense_width = DenseWidth::kModel;
      ModelRun model(setting);
      draw_and_copy(head, model, 1);
      head.run();
      model.run();
      EXPECT_NEAR(head.loss(), model.loss(), 1e-13) << kind;
    }
}

TEST(DenseWidth, OfTheModelGivesEachHeadItsOwnAlignment) {
  RunSetting setting{.config = tiny(attention("D", kPositions)), .gradients = true};
  setting.config.encoder.dense_width = setting.config.decoder.dense_width = DenseWidth::kModel;
  ModelRun model(setting);
  model.run();
  const std::string block = "encoder.layers.0.self_attention.d.";
  EXPECT_EQ(model.parameters().at(block + "w1").type.shape.elements(), 12 * 12);
  EXPECT_EQ(model.parameters().at(block + "w2").type.shape.elements(), 3 * 12 * kPositions);
  const std::vector<double> gradient = model.output("gradient." + block + "w2");
  const size_t head = gradient.size() / 3;
  for (size_t h = 0; h < 3; ++h)
    EXPECT_TRUE(std::any_of(gradient.begin() + static_cast<long>(h * head),
                            gradient.begin() + static_cast<long>((h + 1) * head), [](double g) { return g != 0; }))
        << h;
}

TEST(DenseWidth, OfTheModelCannotShareTheSecondWeight) {
  AttentionConfig config = attention("D", kPositions);
  config.dense_width = DenseWidth::kModel;
  config.share_across_heads = true;
  EXPECT_THROW(check_model(tiny(config)), UsageError);
  config.kind = "R+V";  // of which neither is a switch
  EXPECT_NO_THROW(check_model(tiny(config)));
}

}  // namespace
}  // namespace synthesizer
