// Training steps on meshes of data and tensor ranks give what one rank gives: loss, norm, every parameter, all
// optimizer state. Model code does not know; the partition pass inserts what makes it so.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/dist/layout_run.h"

namespace synthesizer {
namespace {

// `rest`: the tolerance of all that is no weight.
void expect_near(const WholeRun& whole, const RankRun& run, double tolerance, double rest) {
  for (size_t i = 0; i < run.results.size(); ++i) {
    const StepResult &got = run.results[i], &expected = whole.results[i];
    EXPECT_NEAR(got.loss, expected.loss, rest * expected.loss);
    EXPECT_NEAR(got.log_perplexity, expected.log_perplexity, rest * expected.log_perplexity);
    EXPECT_NEAR(got.gradient_norm, expected.gradient_norm, rest * expected.gradient_norm);
  }
  ASSERT_EQ(run.step.state().tensors().size(), whole.state.size());
  for (const StateTensor& tensor : run.step.state().tensors())
    EXPECT_LE(distance(tensor, whole.state.at(tensor.name)), tensor.kind == Leaf::Kind::kState ? rest : tolerance)
        << tensor.name;
}

void expect_any_mesh(const StepGraphOptions& options, const std::vector<Mesh2d>& meshes, int steps, double tolerance,
                     double rest, double learning_rate = 0.05) {
  const WholeRun whole = train_whole(options, steps, learning_rate);
  for (const Mesh2d shape : meshes)
    on_mesh(options, default_layout(), shape, [&](RankRun& run) {
      SCOPED_TRACE(text(shape) + " " + run.mesh.describe());
      run.learning_rate = learning_rate;
      run.train(0, steps);
      expect_near(whole, run, tolerance, rest);
    });
}

class AnyLayout : public testing::TestWithParam<LayoutSetting> {};

TEST_P(AnyLayout, GivesWhatOneRankGives) {
  expect_any_mesh(layout_options(GetParam(), DType::kFloat64), {{2, 1}, {4, 1}, {1, 2}, {2, 2}, {4, 2}, {1, 4}, {2, 4}},
                  3, 1e-12, 1e-12);
}

TEST_P(AnyLayout, InAnyMicroBatchesAndZeroStage) {
  expect_any_mesh(layout_options(GetParam(), DType::kFloat64),
                  {{1, 1, 4}, {2, 1, 2}, {2, 2, 2, 1}, {4, 1, 1, 2}, {2, 1, 2, 2}, {2, 2, 1, 2}}, 3, 1e-12, 1e-12);
}

// In float32 weights stay as near over twenty steps; Adafactor's means of squares and the norm are a little further.
TEST_P(AnyLayout, StaysNearInFloat32) {
  expect_any_mesh(layout_options(GetParam(), DType::kFloat32), {{2, 2}, {1, 4}}, 20, 1e-5, 1e-4, 1e-3);
}

// With activations in bf16 partial sums are rounded before they are added: losses stay near, bits do not.
TEST(AnyLayoutInBFloat16, LossesStayNear) {
  for (const LayoutSetting& setting :
       {LayoutSetting{"mixtures", "R+V", "D+FR"}, LayoutSetting{"convolutions", "DynConv", "LightConv"},
        LayoutSetting{"classifier", "V", "V", Structure::kEncoderClassifier}}) {
    StepGraphOptions options = layout_options(setting, DType::kFloat32);
    options.bfloat16 = true;
    const WholeRun whole = train_whole(options, 5, 1e-3);
    for (const Mesh2d shape : {Mesh2d{2, 2}, Mesh2d{1, 4}, Mesh2d{2, 1, 2, 2}, Mesh2d{4, 1, 1, 1}})
      on_mesh(options, default_layout(), shape, [&](RankRun& run) {
        run.learning_rate = 1e-3;
        run.train(0, 5);
        for (size_t i = 0; i < 5; ++i)
          EXPECT_NEAR(run.results[i].loss, whole.results[i].loss, 0.01 * whole.results[i].loss)
              << setting.name << ", " << text(shape) << ", step " << i;
      });
  }
}

INSTANTIATE_TEST_SUITE_P(Models, AnyLayout, testing::ValuesIn(every_model()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace synthesizer
