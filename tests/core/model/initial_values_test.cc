// Initial values in distribution, as T5's code draws them: mean, standard deviation and bounds of each kind of
// parameter.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/graph/state_store.h"
#include "core/model/model.h"
#include "tests/core/model/sizes.h"

namespace synthesizer {
namespace {

struct Statistics {
  double mean = 0, deviation = 0, largest = 0;
};

class InitialValues : public testing::Test {
 protected:
  void draw(std::string_view kind, int64_t seed = 1) {
    ModelConfig config = t5_small(attention(kind, 128));
    config.vocab = 500;
    config.encoder_layers = config.decoder_layers = 1;
    graph_ = std::make_unique<Graph>();
    build_model(*graph_, config, {1, 4, 4}, {}, {});
    store_ = std::make_unique<StateStore>(*graph_);
    store_->initialize(static_cast<uint64_t>(seed));
  }
  std::vector<double> values(const std::string& name) const {
    const StateTensor& tensor = store_->at(name);
    const auto* data = reinterpret_cast<const float*>(tensor.data);
    return {data, data + tensor.type.shape.elements()};
  }
  Statistics statistics(const std::string& name) const {
    Statistics s;
    const std::vector<double> all = values(name);
    for (const double value : all) {
      s.mean += value / static_cast<double>(all.size());
      s.largest = std::max(s.largest, std::abs(value));
    }
    for (const double value : all) s.deviation += (value - s.mean) * (value - s.mean) / static_cast<double>(all.size());
    s.deviation = std::sqrt(s.deviation);
    return s;
  }
  void expect_normal(const std::string& name, double deviation) const {
    const Statistics s = statistics(name);
    const auto n = static_cast<double>(values(name).size());
    EXPECT_NEAR(s.mean, 0, 5 * deviation / std::sqrt(n)) << name;
    EXPECT_NEAR(s.deviation, deviation, 5 * deviation / std::sqrt(2 * n)) << name;
    EXPECT_GT(s.largest, 3 * deviation) << name;
  }
  void expect_truncated(const std::string& name, double deviation) const {
    const Statistics s = statistics(name);
    EXPECT_NEAR(s.deviation / deviation, 0.8796, 0.02) << name;
    EXPECT_LE(s.largest, 2 * deviation * 1.000001) << name;
    EXPECT_GT(s.largest, 1.95 * deviation) << name;
  }
  void expect_uniform(const std::string& name, double limit) const {
    const Statistics s = statistics(name);
    EXPECT_NEAR(s.deviation / (limit / std::sqrt(3)), 1, 0.1) << name;
    EXPECT_LE(s.largest, limit * 1.000001) << name;
    EXPECT_GT(s.largest, 0.95 * limit) << name;
  }
  void expect_constant(const std::string& name, double value) const {
    for (const double element : values(name)) ASSERT_EQ(element, value) << name;
  }

 private:
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<StateStore> store_;
};

TEST_F(InitialValues, OfProjectionsAndEmbeddings) {
  draw("R+V");
  const std::string layer = "decoder.layers.0.";
  expect_normal("embedding.weight", 1);
  for (const char* block : {"self_attention.", "cross_attention."}) {
    expect_normal(layer + block + "query.weight", std::pow(512 * 64, -0.5));
    expect_normal(layer + block + "key.weight", std::pow(512, -0.5));
    expect_normal(layer + block + "value.weight", std::pow(512, -0.5));
    expect_normal(layer + block + "output.weight", std::pow(512, -0.5));
    expect_constant(layer + block + "norm.scale", 1);
  }
  expect_truncated(layer + "ffn.in.weight", std::pow(512, -0.5));
  expect_truncated(layer + "ffn.out.weight", std::pow(2048, -0.5));
  expect_constant(layer + "self_attention.mixture.alpha", 0);
  expect_constant("decoder.final_norm.scale", 1);
  expect_uniform("encoder.relative_bias", std::sqrt(6.0 / (8 + 32)));
}

TEST_F(InitialValues, OfWhatIsSizedByPosition) {
  draw("R+Fix+FR");
  const std::string block = "encoder.layers.0.self_attention.";
  expect_uniform(block + "r.logits", std::sqrt(6.0 / (8 * 128 + 128 * 128)));
  expect_uniform(block + "fix.logits", std::sqrt(6.0 / (8 * 128 + 128 * 128)));
  expect_uniform(block + "fr.rows", std::sqrt(6.0 / (8 * (8 + 128))));
  expect_uniform(block + "fr.columns", std::sqrt(6.0 / (8 * (8 + 128))));
  EXPECT_NE(values(block + "r.logits"), values(block + "fix.logits"));
  EXPECT_NE(values(block + "fr.rows"), values(block + "fr.columns"));
}

TEST_F(InitialValues, OfDenseFunctions) {
  draw("D+FD");
  const std::string block = "encoder.layers.0.self_attention.";
  expect_truncated(block + "d.w1", std::pow(512, -0.5));
  expect_truncated(block + "d.w2", std::pow(64, -0.5));
  expect_truncated(block + "fd.wa", std::pow(64, -0.5));
  expect_truncated(block + "fd.wb", std::pow(64, -0.5));
  for (const char* bias : {"d.b1", "d.b2", "fd.b1", "fd.ba", "fd.bb"}) expect_constant(block + bias, 0);
}

TEST_F(InitialValues, OfTheOtherVariants) {
  draw("Conv+Bottleneck+ConvBottleneck+GLU");
  const std::string block = "decoder.layers.0.self_attention.";
  expect_truncated(block + "conv.w", std::pow(3 * 512, -0.5));
  expect_truncated(block + "bottleneck.w1", std::pow(512, -0.5));
  expect_truncated(block + "bottleneck.w2", std::pow(16, -0.5));
  expect_truncated(block + "convbottleneck.w1", std::pow(3 * 512, -0.5));
  expect_truncated(block + "convbottleneck.w2", std::pow(16, -0.5));
  expect_truncated(block + "glu.linear.weight", std::pow(512, -0.5));
  expect_truncated(block + "glu.gate.weight", std::pow(512, -0.5));
  expect_truncated(block + "glu.w2", std::pow(64, -0.5));
  for (const char* bias : {"conv.b", "bottleneck.b1", "bottleneck.b2", "convbottleneck.b1", "convbottleneck.b2",
                           "glu.linear.bias", "glu.gate.bias", "glu.b2"})
    expect_constant(block + bias, 0);
}

TEST_F(InitialValues, OfWhatStandsAlone) {
  draw("DynConv");
  const std::string block = "encoder.layers.0.self_attention.";
  expect_normal(block + "in_proj.weight", std::pow(512, -0.5));
  expect_normal(block + "out_proj.weight", std::pow(512, -0.5));
  expect_uniform(block + "conv.weight", std::sqrt(6.0 / (512 + 8 * 3)));
  draw("LightConv");
  for (const double weight : values(block + "conv.weight")) EXPECT_LE(std::abs(weight), std::sqrt(6.0 / (3 + 8 * 3)));
  EXPECT_NE(values(block + "conv.weight")[0], values(block + "conv.weight")[1]);
}

TEST_F(InitialValues, DependOnTheSeedAlone) {
  const std::string name = "encoder.layers.0.self_attention.r.logits";
  draw("R");
  const std::vector<double> first = values(name);
  draw("R");
  EXPECT_EQ(values(name), first);
  draw("R", 2);
  EXPECT_NE(values(name), first);
}

}  // namespace
}  // namespace synthesizer
