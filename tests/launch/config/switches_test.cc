// Each switch of a model, set as a user sets it: what it changes of the parameters and their first values, and that it
// changes nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/graph/state_store.h"
#include "core/model/model.h"
#include "core/ops/dropout.h"
#include "launch/config/check.h"
#include "launch/config/convert.h"
#include "launch/config/load.h"
#include "tests/launch/messages.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kSmall = R"(
model {
  max_length: 16 d_model: 12 d_ff: 20 num_heads: 2 d_head: 6 vocab_size: 40
  encoder { layers: 2 attention: "V" }
  decoder { layers: 1 attention: "V" }
}
data { input_length: 12 sentinels: 10 }
)";

using Assignments = std::vector<std::string>;

Assignments encoder(const Assignments& fields) {
  Assignments all;
  for (const std::string& field : fields) all.push_back("model.encoder." + field);
  return all;
}

std::unique_ptr<Graph> graph_of(const Assignments& assignments) {
  const TemporaryFolder folder;
  const config::Run run = load_run(folder.write("a.txtpb", kSmall), assignments);
  check_names(run);
  check_values(run, 1);
  Vocabulary vocabulary;
  vocabulary.pieces = 30;
  vocabulary.sentinels = run.data().sentinels();
  auto graph = std::make_unique<Graph>();
  build_model(*graph, model_config(run, vocabulary), {2, run.data().input_length(), run.data().target_length()},
              loss_config(run), {});
  return graph;
}

// "encoder.layers.0.ffn.in.weight [model 12, ff 20]", sorted.
std::vector<std::string> parameters(const Assignments& assignments) {
  const auto graph = graph_of(assignments);
  const StateStore store(*graph);
  std::vector<std::string> found;
  for (const StateTensor& tensor : store.tensors()) found.push_back(tensor.name + " " + tensor.type.shape.to_string());
  std::sort(found.begin(), found.end());
  return found;
}

// What `with` has more than `without`: "+ …", and less: "- …".
std::vector<std::string> changes(const Assignments& without, const Assignments& with) {
  Assignments both = without;
  both.insert(both.end(), with.begin(), with.end());
  const std::vector<std::string> a = parameters(without), b = parameters(both);
  std::vector<std::string> less, more, all;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(less));
  std::set_difference(b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(more));
  for (const std::string& name : less) all.push_back("- " + name);
  for (const std::string& name : more) all.push_back("+ " + name);
  return all;
}

// Of a stack of one layer.
std::vector<std::string> encoder_changes(const Assignments& without, const Assignments& with) {
  Assignments fields = encoder(without);
  fields.emplace_back("model.encoder.layers=1");
  std::vector<std::string> all = changes(fields, encoder(with));
  const std::string block = "encoder.layers.0.self_attention.";
  for (std::string& change : all)
    if (const size_t at = change.find(block); at != std::string::npos) change.erase(at, block.size());
  return all;
}

double largest(const Assignments& assignments, const std::string& name) {
  const auto graph = graph_of(assignments);
  StateStore store(*graph);
  store.initialize(1);
  const StateTensor& tensor = store.at(name);
  const auto* data = reinterpret_cast<const float*>(tensor.data);
  double most = 0;
  for (int64_t i = 0; i < tensor.type.shape.elements(); ++i)
    most = std::max(most, std::abs(static_cast<double>(data[i])));
  return most;
}

TEST(Switch, ShareAcrossHeads) {
  EXPECT_THAT(encoder_changes({"attention=D"}, {"share_across_heads=true"}),
              ElementsAre("- d.b2 [heads 2, memory_position 16]", "- d.w2 [heads 2, head 6, memory_position 16]",
                          "+ d.b2 [shared_heads 1, memory_position 16]",
                          "+ d.w2 [shared_heads 1, head 6, memory_position 16]"));
}

TEST(Switch, DenseBias) {
  EXPECT_THAT(encoder_changes({"attention=D"}, {"dense_bias=false"}),
              ElementsAre("- d.b1 [heads 2, head 6]", "- d.b2 [heads 2, memory_position 16]"));
}

TEST(Switch, TieKeyValue) {
  EXPECT_THAT(encoder_changes({}, {"tie_key_value=true"}), ElementsAre("- key.weight [model 12, heads 2, head 6]"));
}

TEST(Switch, ShareQuery) {
  EXPECT_THAT(encoder_changes({"attention=D+V"}, {"share_query=true"}),
              ElementsAre("- d.w1 [model 12, heads 2, head 6]"));
  const auto refused = [](const Assignments& fields) { return usage_message([&] { graph_of(encoder(fields)); }); };
  EXPECT_THAT(refused({"share_query=true"}),
              AllOf(HasSubstr("model.encoder: share_query: got true with 'V'"), HasSubstr("mixture with V")));
  EXPECT_THAT(refused({"attention=D", "share_query=true"}), HasSubstr("share_query"));
  EXPECT_THAT(refused({"attention=D+V", "share_query=true", "dense_width=MODEL"}), HasSubstr("dense_width"));
}

TEST(Switch, DenseWidth) {
  EXPECT_THAT(encoder_changes({"attention=D"}, {"dense_width=MODEL"}),
              ElementsAre("- d.b1 [heads 2, head 6]", "- d.w1 [model 12, heads 2, head 6]",
                          "- d.w2 [heads 2, head 6, memory_position 16]", "+ d.b1 [hidden 12]",
                          "+ d.w1 [model 12, hidden 12]", "+ d.w2 [heads 2, hidden 12, memory_position 16]"));
  EXPECT_THAT(usage_message([] {
                graph_of(encoder({"attention=D", "dense_width=MODEL", "share_across_heads=true"}));
              }),
              HasSubstr("share_across_heads"));
}

TEST(Switch, MixtureAndItsScope) {
  const std::string two = "mixture.alpha [parts 2]";
  EXPECT_THAT(encoder_changes({"attention=R+V"}, {"mixture=SUM"}), ElementsAre("- " + two));
  EXPECT_THAT(encoder_changes({"attention=R+V"}, {"mixture=SIGMOID"}),
              ElementsAre("- " + two, "+ mixture.alpha [parts 1]"));
  EXPECT_THAT(encoder_changes({"attention=R+V"}, {"mixture_scope=EACH_HEAD"}),
              ElementsAre("- " + two, "+ mixture.alpha [parts 2, heads 2]"));
  EXPECT_THAT(encoder_changes({"attention=R+V", "mixture=SIGMOID"}, {"mixture_scope=EACH_HEAD"}),
              ElementsAre("- mixture.alpha [parts 1]", "+ mixture.alpha [parts 1, heads 2]"));
}

TEST(Switch, RelativeBias) {
  EXPECT_THAT(changes({}, {"model.relative_bias=false"}), ElementsAre("- decoder.relative_bias [buckets 32, heads 2]",
                                                                      "- encoder.relative_bias [buckets 32, heads 2]"));
}

TEST(Switch, FeedForwardAndOutput) {
  EXPECT_THAT(changes({}, {"model.ffn=GATED_GELU"}),
              ElementsAre("+ decoder.layers.0.ffn.gate.weight [model 12, ff 20]",
                          "+ encoder.layers.0.ffn.gate.weight [model 12, ff 20]",
                          "+ encoder.layers.1.ffn.gate.weight [model 12, ff 20]"));
  EXPECT_THAT(changes({}, {"model.tie_output=false"}), ElementsAre("+ output.weight [model 12, vocab 40]"));
}

TEST(Switch, Universal) {
  EXPECT_THAT(changes({}, {"model.universal=true"}),
              AllOf(Contains("+ encoder.step_embedding [steps 2, model 12]"),
                    Contains("+ decoder.step_embedding [steps 1, model 12]"),
                    Contains("- encoder.layers.1.ffn.in.weight [model 12, ff 20]"),
                    Not(Contains(HasSubstr("encoder.layers.0.")))));
}

TEST(Switch, Classifier) {
  const std::vector<std::string> names = parameters({"model.structure=ENCODER_CLASSIFIER", "model.num_classes=3"});
  EXPECT_THAT(names, AllOf(Contains("classifier.bias [classes 3]"), Contains("classifier.weight [model 12, classes 3]"),
                           Not(Contains(HasSubstr("decoder")))));
}

// Uniform in the limits of each, or normal, which goes beyond any of them.
TEST(Switch, RandomInit) {
  const std::string block = "encoder.layers.0.self_attention.";
  const auto drawn = [&](const std::string& kind, const std::string& init, const std::string& name) {
    return largest(encoder({"attention=" + kind, "random_init=" + init}), block + name);
  };
  for (const auto& [kind, name] : {std::pair{"R", "r.logits"}, std::pair{"Fix", "fix.logits"}}) {
    EXPECT_NEAR(drawn(kind, "GLOROT", name), std::sqrt(6.0 / (16 * 2 + 16 * 16)), 0.005) << kind;
    EXPECT_NEAR(drawn(kind, "XAVIER", name), std::sqrt(6.0 / (2 * 2 * 16)), 0.01) << kind;
    EXPECT_GT(drawn(kind, "NORMAL", name), 2) << kind;
  }
  EXPECT_NEAR(drawn("FR", "GLOROT", "fr.rows"), std::sqrt(6.0 / (8 * (2 + 16))), 0.01);
  EXPECT_NEAR(drawn("FR", "XAVIER", "fr.rows"), std::sqrt(6.0 / (2 * (8 + 16))), 0.02);
  EXPECT_GT(drawn("FR", "NORMAL", "fr.rows"), 2 * std::pow(8, -0.25));
  EXPECT_THAT(encoder_changes({"attention=R"}, {"random_init=NORMAL"}), IsEmpty());
}

TEST(Switch, Scale) {
  const std::string name = "encoder.layers.0.self_attention.query.weight";
  EXPECT_GT(largest(encoder({"scale=true"}), name), 2 * largest({}, name));
  EXPECT_THAT(encoder_changes({}, {"scale=true"}), IsEmpty());
}

// One mask for all positions of a row, or one for each; of R, whose alignment the examples share with the first alone.
TEST(Switch, DropoutBroadcast) {
  const auto shared_along_length = [](const std::string& value) {
    const auto graph = graph_of({"dropout=0.1", "model.dropout_broadcast=" + value, "model.encoder.attention=R"});
    std::pair<int, int> counts;
    for (const Node& node : graph->nodes())
      if (const auto* dropout = dynamic_cast<const Dropout*>(node.op.get()); dropout != nullptr) {
        const bool per_row =
            std::find(dropout->shared().begin(), dropout->shared().end(), "length") != dropout->shared().end();
        ++(per_row ? counts.first : counts.second);
      }
    return counts;
  };
  // Of 2 + 1 layers attention's weights drop along other dims; both ends of both stacks and the rest along `length`.
  EXPECT_EQ(shared_along_length("true"), std::pair(2 * 2 + 2 * 3 + 4, 2 + 2));
  EXPECT_EQ(shared_along_length("false"), std::pair(0, 2 * 2 + 2 * 4 + 6));
}

}  // namespace
}  // namespace synthesizer
