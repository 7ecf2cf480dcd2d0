// The Universal Transformer: one layer's weights, a vector and a dropout mask of its own for each application, and what
// does not differ between them made once.
#include <gtest/gtest.h>

#include <set>

#include "core/ops/dropout.h"
#include "dist/thread_communicator.h"
#include "tests/core/model/model_run.h"
#include "tests/core/model/sizes.h"

namespace synthesizer {
namespace {

constexpr int64_t kPositions = 16;

ModelConfig universal(std::string_view kind) {
  ModelConfig config = tiny(attention(kind, kPositions));
  config.universal = true;
  return config;
}

TEST(Universal, HasTheWeightsOfOneLayer) {
  const auto names = [](const ModelConfig& config) {
    std::set<std::string> names;
    ModelRun model({.config = config});
    for (const StateTensor& tensor : model.parameters().tensors()) names.insert(tensor.name);
    return names;
  };
  ModelConfig one_layer = tiny(attention("R+V", kPositions));
  one_layer.encoder_layers = one_layer.decoder_layers = 1;
  std::set<std::string> expected = names(one_layer);
  expected.insert({"encoder.step_embedding", "decoder.step_embedding"});
  EXPECT_EQ(names(universal("R+V")), expected);
  ModelRun model({.config = universal("R+V")});
  EXPECT_EQ(model.parameters().at("decoder.step_embedding").type.shape, (Shape{kSteps(3), kModel(12)}));
}

// A mask is a function of the seed, the step and the name's hash, so another hash is another mask.
TEST(Universal, EachApplicationDropsForItself) {
  for (const bool broadcast : {true, false}) {
    Graph graph;
    ModelConfig config = universal("R+V");
    config.dropout = 0.1;
    config.dropout_broadcast = broadcast;
    build_model(graph, config, {2, 8, 6}, {}, {});
    std::set<uint64_t> hashes;
    int dropouts = 0, first_application = 0;
    for (const Node& node : graph.nodes()) {
      const auto* dropout = dynamic_cast<const Dropout*>(node.op.get());
      if (dropout == nullptr) continue;
      ++dropouts;
      hashes.insert(dropout->name_hash());
      first_application += node.name.find("encoder.steps.0.") != std::string::npos ? 1 : 0;
    }
    // Both ends of both stacks; in each of 2 applications of the encoder attention, its output, ffn, its output; in
    // each of 3 of the decoder two more.
    EXPECT_EQ(dropouts, 2 * 2 + 2 * 4 + 3 * 6);
    EXPECT_EQ(first_application, 4);
    EXPECT_EQ(hashes.size(), static_cast<size_t>(dropouts));
  }
}

TEST(Universal, DropsTheSameOnAnyRanks) {
  RunSetting setting{.config = universal("R+V"), .passes = true};
  setting.config.dropout = 0.2;
  ModelRun whole(setting);
  whole.run(5);
  run_ranks(2, [&](Communicator& world) {
    ModelRun part(setting, &world);
    part.run(5);
    EXPECT_NEAR(part.loss(), whole.loss(), 1e-12);
  });
}

// All applications of a stack have one R and one bias, so the passes leave one softmax a stack.
TEST(Universal, MakesASharedAlignmentOnce) {
  for (const char* kind : {"R", "Fix", "FR"})
    for (const double dropout : {0.0, 0.1}) {
      RunSetting setting{.config = universal(kind), .gradients = true, .passes = true};
      setting.config.dropout = dropout;
      ModelRun model(setting);
      model.run();
      const int64_t self = 1 + 1, cross = 3;
      EXPECT_EQ(model.counters().softmax_runs, self + cross) << kind;
      EXPECT_EQ(model.counters().softmax_rows, 3 * (11 + 7 + cross * 4 * 7)) << kind;
    }
}

TEST(Universal, PassesChangeNothing) {
  for (const char* kind : {"R", "FR+V"}) {
    RunSetting setting{.config = universal(kind), .gradients = true};
    setting.options.logits = true;
    ModelRun plain(setting);
    setting.passes = true;
    ModelRun merged(setting);
    plain.run();
    merged.run();
    EXPECT_EQ(plain.output("logits"), merged.output("logits")) << kind;
    const std::vector<double> a = plain.output("gradient.encoder.step_embedding");
    const std::vector<double> b = merged.output("gradient.encoder.step_embedding");
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-14) << kind;
  }
}

TEST(Universal, EachApplicationAddsItsOwnVector) {
  RunSetting setting{.config = universal("V")};
  ModelRun model(setting);
  model.run();
  const double loss = model.loss();
  for (const size_t step : {0, 1, 2}) {
    model.parameter("decoder.step_embedding")[step * 12 + 3] += 1;
    model.run();
    EXPECT_NE(model.loss(), loss) << step;
    model.parameter("decoder.step_embedding")[step * 12 + 3] -= 1;
  }
  model.run();
  EXPECT_NEAR(model.loss(), loss, 1e-14);
}

}  // namespace
}  // namespace synthesizer
