// What a model is made of: its parameters and how many they are, what it is given and gives, what it refuses.
#include "core/model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "tests/core/model/sizes.h"

namespace synthesizer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsSupersetOf;

constexpr BatchShape kShape{.batch = 2, .source_length = 8, .target_length = 6};

double millions(const ModelConfig& config) {
  Graph graph;
  build_model(graph, config, kShape, {}, {});
  return static_cast<double>(count_parameters(graph)) / 1e6;
}

std::set<std::string> parameters(const ModelConfig& config) {
  Graph graph;
  build_model(graph, config, kShape, {}, {});
  std::set<std::string> names;
  for (const Node& node : graph.nodes())
    if (const auto* leaf = dynamic_cast<const Leaf*>(node.op.get()); leaf && leaf->persistent())
      names.insert(node.name);
  return names;
}

std::string refusal(const ModelConfig& config) {
  try {
    check_model(config);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

// The published counts of T5 and those worked out from the authors' code, in millions.
TEST(ParameterCount, IsThatOfT5) {
  EXPECT_NEAR(millions(t5_small(attention("V"))), 60.51, 0.005);
  EXPECT_NEAR(millions(t5_base(attention("V"))), 222.90, 0.005);
}

TEST(ParameterCount, IsThatOfTheAuthorsSynthesizers) {
  AttentionConfig sum = attention("R+V"), dense = attention("D");
  sum.mixture = Mixture::kSum;
  dense.share_across_heads = true;
  dense.dense_bias = false;
  EXPECT_NEAR(millions(t5_small(attention("R"))), 79.38, 0.005);
  EXPECT_NEAR(millions(t5_base(attention("R"))), 270.09, 0.005);
  EXPECT_NEAR(millions(t5_small(attention("FR"))), 55.00, 0.006);
  EXPECT_NEAR(millions(t5_base(attention("FR"))), 196.95, 0.005);
  EXPECT_NEAR(millions(t5_small(sum)), 85.67, 0.005);
  EXPECT_NEAR(millions(t5_base(sum)), 298.40, 0.005);
  EXPECT_NEAR(millions(t5_small(dense)), 57.75, 0.01);
  EXPECT_NEAR(millions(t5_base(dense)), 209.53, 0.01);
}

TEST(ParameterCount, IsThatOfThePapersDenseAndFixed) {
  EXPECT_NEAR(millions(t5_small(attention("D"))), 60.56, 0.005);
  EXPECT_NEAR(millions(t5_base(attention("D"))), 218.35, 0.005);
  EXPECT_NEAR(millions(t5_small(attention("Fix"))), 54.22, 0.005);
  EXPECT_NEAR(millions(t5_base(attention("Fix"))), 194.59, 0.005);
}

TEST(Parameters, HaveTheirCanonicalNames) {
  const std::set<std::string> names = parameters(tiny(attention("R+V", 16)));
  EXPECT_THAT(
      names,
      IsSupersetOf({"embedding.weight", "encoder.relative_bias", "encoder.layers.0.self_attention.norm.scale",
                    "encoder.layers.1.self_attention.query.weight", "encoder.layers.0.self_attention.r.logits",
                    "encoder.layers.0.self_attention.mixture.alpha", "encoder.layers.0.ffn.norm.scale",
                    "encoder.layers.0.ffn.in.weight", "encoder.layers.0.ffn.out.weight", "encoder.final_norm.scale",
                    "decoder.relative_bias", "decoder.final_norm.scale", "decoder.layers.2.cross_attention.norm.scale",
                    "decoder.layers.2.cross_attention.key.weight", "decoder.layers.2.self_attention.r.logits"}));
  EXPECT_EQ(names.size(), 1u + (2 + 2 * 10) + (2 + 3 * 15));
  EXPECT_FALSE(names.contains("output.weight"));
}

TEST(Parameters, OfADecoderAloneAreItsOwn) {
  ModelConfig config = tiny(attention("V"));
  config.structure = Structure::kDecoder;
  config.relative_bias = false;
  config.tie_output = false;
  for (const std::string& name : parameters(config)) {
    EXPECT_FALSE(name.starts_with("encoder")) << name;
    EXPECT_EQ(name.find("cross_attention"), std::string::npos) << name;
    EXPECT_EQ(name.find("relative_bias"), std::string::npos) << name;
  }
  EXPECT_TRUE(parameters(config).contains("output.weight"));
}

TEST(Model, MakesTheInputsItUses) {
  Graph graph;
  const ModelOptions decoding{.mode = Mode::kEvaluate, .loss = false, .next_logits = true};
  const Model model = build_model(graph, tiny(attention("FR", 16)), kShape, {}, decoding);
  EXPECT_TRUE(model.inputs.inputs && model.inputs.input_mask && model.inputs.position);
  EXPECT_FALSE(model.inputs.targets || model.inputs.weights || model.inputs.denominator || model.inputs.step);
  EXPECT_FALSE(model.outputs.loss);
  EXPECT_EQ(model.outputs.next_logits.shape(), (Shape{kBatch(2), kVocab(40)}));
}

TEST(Model, DropsOnlyInTraining) {
  ModelConfig config = tiny(attention("R+V", 16));
  config.dropout = 0.1;
  const auto dropouts = [&](Mode mode) {
    Graph graph;
    build_model(graph, config, kShape, {}, {.mode = mode});
    int count = 0;
    for (const Node& node : graph.nodes()) count += node.op->name() == "dropout" ? 1 : 0;
    return count;
  };
  // Both ends of both stacks; 2 encoder layers of attention, its output, ffn, its output; 3 decoder layers of two more.
  EXPECT_EQ(dropouts(Mode::kTrain), 2 * 2 + 2 * 4 + 3 * 6);
  EXPECT_EQ(dropouts(Mode::kEvaluate), 0);
}

TEST(Model, TakesLengthsUpToItsPositions) {
  const auto build = [](int64_t source, int64_t target) {
    Graph graph;
    build_model(graph, tiny(attention("R", 16)), {2, source, target}, {}, {});
  };
  EXPECT_NO_THROW(build(16, 16));
  EXPECT_NO_THROW(build(1, 1));
  EXPECT_THROW(build(17, 16), UsageError);
  EXPECT_THROW(build(16, 17), UsageError);
}

TEST(CheckModel, RefusesByName) {
  const ModelConfig good = tiny(attention("R", 16));
  EXPECT_EQ(refusal(good), "accepted");
  ModelConfig bad = good;
  bad.padded_vocab = 30;
  EXPECT_THAT(refusal(bad), AllOf(HasSubstr("padded_vocab"), HasSubstr("30"), HasSubstr("37")));
  bad = good;
  bad.encoder.kind = "GRU";
  EXPECT_THAT(refusal(bad), AllOf(HasSubstr("encoder.attention"), HasSubstr("unknown"), HasSubstr("GRU")));
  bad = good;
  bad.encoder.kind = "GLU+DynConv";
  EXPECT_THAT(refusal(bad), AllOf(HasSubstr("encoder.attention"), HasSubstr("DynConv stands alone")));
  bad = good;
  bad.encoder.kind = "Linformer";
  EXPECT_EQ(refusal(bad), "accepted");
  bad.decoder.kind = "Linformer";
  EXPECT_THAT(refusal(bad), AllOf(HasSubstr("decoder.attention"), HasSubstr("only be in an encoder")));
  bad = good;
  bad.decoder.kind = "LightConv";
  bad.decoder.conv_heads = 5;
  EXPECT_THAT(refusal(bad), AllOf(HasSubstr("decoder.attention"), HasSubstr("conv_heads: got 5")));
  bad = good;
  bad.dropout = 1;
  EXPECT_THAT(refusal(bad), HasSubstr("dropout"));
  bad = good;
  bad.d_head = 0;
  EXPECT_THAT(refusal(bad), HasSubstr("d_head"));
}

}  // namespace
}  // namespace synthesizer
