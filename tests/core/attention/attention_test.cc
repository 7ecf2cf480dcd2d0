// What the shell builds: the dims and parameters of each kind, how lengths are cut, and that what the examples share is
// made once.
#include "core/attention/attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/shape.h"

namespace synthesizer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr AttentionSizes kSizes{.d_model = 12, .num_heads = 3, .d_head = 4};

struct Built {
  std::unique_ptr<Graph> graph = std::make_unique<Graph>();
  Value output;

  std::vector<std::string> leaves(Leaf::Kind kind) const {
    std::vector<std::string> names;
    for (const Node& node : graph->nodes())
      if (const auto* leaf = dynamic_cast<const Leaf*>(node.op.get()); leaf && leaf->kind() == kind)
        names.push_back(node.name);
    return names;
  }
  std::vector<const Node*> nodes(std::string_view op) const {
    std::vector<const Node*> found;
    for (const Node& node : graph->nodes())
      if (node.op->name() == op) found.push_back(&node);
    return found;
  }
};

struct Case {
  AttentionConfig config;
  int64_t length = 7;
  bool causal = false, masked = false, biased = true;
  double dropout = 0;
  bool dropout_broadcast = true;
  bool packed = false, by_document = false;
};

Built build(const Case& c) {
  Built built;
  Graph& graph = *built.graph;
  BuildContext context{.graph = &graph, .dropout = c.dropout, .dropout_broadcast = c.dropout_broadcast};
  context.step = input(graph, "step", DType::kInt64, {});
  const Value x = input(graph, "x", DType::kFloat32, {kBatch(2), kLength(c.length), kModel(kSizes.d_model)});
  AttentionTerms terms{.causal = c.causal};
  if (c.biased)
    terms.bias =
        input(graph, "bias", DType::kFloat32, {kHeads(kSizes.num_heads), kLength(c.length), kMemoryLength(c.length)});
  if (c.masked) terms.key_mask = input(graph, "mask", DType::kInt32, {kBatch(2), kMemoryLength(c.length)});
  const Shape tokens{kBatch(2), kLength(c.length)};
  if (c.packed) {
    terms.segments = input(graph, "segments", DType::kInt32, tokens);
    terms.key_mask = rename(terms.segments, kLength, kMemoryLength);
  }
  if (c.by_document) terms.positions = input(graph, "positions", DType::kInt32, tokens);
  const Scope root(context);
  const Scope scope(root, "a");
  built.output = self_attention(scope, c.config, kSizes, x, terms);
  return built;
}

AttentionConfig kind(std::string_view name, int64_t max_length = 9) {
  return {.kind = std::string(name), .max_length = max_length};
}

TEST(SelfAttention, HasTheParametersOfItsParts) {
  using Kind = Leaf::Kind;
  EXPECT_THAT(build({kind("V")}).leaves(Kind::kParameter),
              UnorderedElementsAre("a.query.weight", "a.key.weight", "a.value.weight", "a.output.weight"));
  EXPECT_THAT(build({kind("R")}).leaves(Kind::kParameter),
              UnorderedElementsAre("a.r.logits", "a.value.weight", "a.output.weight"));
  EXPECT_THAT(build({kind("FR+FD")}).leaves(Kind::kParameter),
              UnorderedElementsAre("a.fr.rows", "a.fr.columns", "a.fd.w1", "a.fd.b1", "a.fd.wa", "a.fd.ba", "a.fd.wb",
                                   "a.fd.bb", "a.mixture.alpha", "a.value.weight", "a.output.weight"));
  AttentionConfig authors = kind("D+V");
  authors.dense_bias = false;
  authors.tie_key_value = true;
  authors.mixture = Mixture::kSum;
  EXPECT_THAT(build({authors}).leaves(Kind::kParameter),
              UnorderedElementsAre("a.query.weight", "a.d.w1", "a.d.w2", "a.value.weight", "a.output.weight"));
}

TEST(SelfAttention, HasTheParametersOfWhatStandsAlone) {
  using Kind = Leaf::Kind;
  for (const char* name : {"LightConv", "DynConv"})
    EXPECT_THAT(build({kind(name)}).leaves(Kind::kParameter),
                UnorderedElementsAre("a.in_proj.weight", "a.conv.weight", "a.out_proj.weight"));
  AttentionConfig linformer = kind("Linformer");
  EXPECT_THAT(build({linformer}).leaves(Kind::kParameter),
              UnorderedElementsAre("a.query.weight", "a.key.weight", "a.value.weight", "a.output.weight",
                                   "a.linformer.key_projection", "a.linformer.value_projection"));
  linformer.tie_key_value = true;
  EXPECT_THAT(build({linformer}).leaves(Kind::kParameter), ::testing::Not(::testing::Contains("a.key.weight")));
}

TEST(SelfAttention, WindowsHaveTheirOwnHeads) {
  AttentionConfig config = kind("DynConv");
  config.conv_heads = 6;
  config.filter_width = 5;
  const Built built = build({config});
  Graph& graph = *built.graph;
  EXPECT_EQ(graph.leaf("a.in_proj.weight").shape(), (Shape{kModel(12), {"halves", 2}, kHeads(6), kHead(2)}));
  EXPECT_EQ(graph.leaf("a.conv.weight").shape(), (Shape{kHeads(6), kHead(2), {"conv_heads", 6}, {"window", 5}}));
  ASSERT_EQ(built.nodes("window").size(), 1u);
  EXPECT_EQ(built.nodes("window")[0]->outputs[0].shape, (Shape{kBatch(2), kLength(7), kHeads(6), kHead(2)}));
}

// A window reaches over the end of an example, so that padding has to be 0 there. A causal one never gets so far.
TEST(SelfAttention, WindowsSeeNoPadding) {
  for (const char* name : {"Conv", "ConvBottleneck", "R+Conv", "LightConv", "DynConv"}) {
    EXPECT_EQ(build({.config = kind(name), .masked = true}).nodes("cast").size(), 1u) << name;
    EXPECT_EQ(build({.config = kind(name), .causal = true, .masked = true}).nodes("cast").size(), 0u) << name;
    EXPECT_EQ(build({.config = kind(name)}).nodes("cast").size(), 0u) << name;
  }
  for (const char* name : {"Bottleneck", "GLU", "V+D"})
    EXPECT_EQ(build({.config = kind(name), .masked = true}).nodes("cast").size(), 0u) << name;
}

TEST(SelfAttention, FixIsNoParameter) {
  const Built built = build({kind("Fix")});
  EXPECT_THAT(built.leaves(Leaf::Kind::kFixed), ElementsAre("a.fix.logits"));
  EXPECT_THAT(built.leaves(Leaf::Kind::kParameter), UnorderedElementsAre("a.value.weight", "a.output.weight"));
}

TEST(SelfAttention, KeepsTheDimsForEveryKindAndSetting) {
  for (const char* name : {"V", "R", "Fix", "FR", "D", "FD", "R+V", "FR+FD", "D+Fix+V", "R+FR", "Conv", "Bottleneck",
                           "ConvBottleneck", "GLU", "R+Conv", "FR+GLU", "LightConv", "DynConv", "Linformer"})
    for (const bool causal : {false, true})
      for (const bool masked : {false, true})
        for (const double dropout : {0.0, 0.1})
          for (const bool broadcast : {false, true}) {
            if (causal && std::string_view(name) == "Linformer") continue;  // refused by check_self_attention
            EXPECT_EQ(build({.config = kind(name),
                             .causal = causal,
                             .masked = masked,
                             .dropout = dropout,
                             .dropout_broadcast = broadcast})
                          .output.shape(),
                      (Shape{kBatch(2), kLength(7), kModel(12)}))
                << name;
          }
}

TEST(SelfAttention, RefusesLengthsBeyondItsPositions) {
  for (const char* name :
       {"R", "Fix", "FR", "D", "FD", "R+V", "Conv", "Bottleneck", "ConvBottleneck", "GLU", "Linformer"}) {
    EXPECT_NO_THROW(build({.config = kind(name), .length = 1})) << name;
    EXPECT_NO_THROW(build({.config = kind(name), .length = 9})) << name;
    try {
      build({.config = kind(name), .length = 10});
      ADD_FAILURE() << name << " took more positions than it has";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("10"), HasSubstr("9"))) << name;
    }
  }
}

TEST(SelfAttention, SharesTheAlignmentThatNoExampleChanges) {
  for (const char* name : {"R", "Fix", "FR", "R+FR", "R+Fix+FR"})
    for (const bool masked : {false, true}) {
      const Built built = build({.config = kind(name), .masked = masked, .dropout = 0.1});
      const auto softmaxes = built.nodes("softmax");
      const auto over_keys = std::count_if(softmaxes.begin(), softmaxes.end(), [](const Node* node) {
        return node->outputs[0].shape == Shape{kHeads(3), kLength(7), kMemoryLength(7)};
      });
      EXPECT_EQ(over_keys, 1) << name;
      EXPECT_EQ(built.nodes("shared_attention").size(), masked ? 1u : 0u) << name;
      EXPECT_EQ(built.nodes("shared_product").size(), masked ? 0u : 1u) << name;
      for (const Node* node : softmaxes) EXPECT_FALSE(node->outputs[0].shape.has("batch")) << name;
    }
}

// Of no example is there a number for each query and key: what is a product of them, or shared, is met in blocks.
TEST(SelfAttention, MakesNoScoresOfAnExample) {
  const auto scores = [](const Built& built) {
    return std::count_if(built.graph->nodes().begin(), built.graph->nodes().end(), [](const Node& node) {
      const Shape& shape = node.outputs[0].shape;
      return shape.has(kBatch.name) && shape.has(kLength.name) && shape.has(kMemoryLength.name);
    });
  };
  for (const char* name : {"V", "D", "FD", "FD+V", "Conv+V", "FR+FD", "Bottleneck", "ConvBottleneck", "GLU", "R+V",
                           "Fix+V", "FR+V", "D+V", "D+R+V", "R+D", "R", "Fix", "FR", "R+FR"})
    for (const DenseWidth width : {DenseWidth::kHead, DenseWidth::kModel})
      for (const bool causal : {false, true})
        for (const bool biased : {false, true})
          for (const int rows : {0, 1, 2, 3}) {
            Case c{.config = kind(name), .causal = causal, .masked = rows == 1, .biased = biased};
            c.config.dense_width = width;
            c.packed = rows >= 2;
            c.by_document = rows == 3;
            EXPECT_EQ(scores(build(c)), 0) << name << " of rows " << rows;
          }
  for (const char* name : {"Conv", "R+Conv"}) EXPECT_GT(scores(build({kind(name)})), 0) << name;   // dear to make again
  EXPECT_GT(scores(build({.config = kind("V"), .dropout = 0.1, .dropout_broadcast = false})), 0);  // a mask for each
}

TEST(SelfAttention, CutsBeforeTheProduct) {
  for (const char* name : {"D", "FD", "Conv", "Bottleneck", "ConvBottleneck", "GLU", "Linformer"}) {
    const Built built = build({.config = kind(name, 64), .length = 3});
    for (const Node* node : built.nodes("einsum"))
      for (const Dim& dim : node->outputs[0].shape.dims()) EXPECT_LT(dim.size, 64) << name << " " << node->name;
  }
}

}  // namespace
}  // namespace synthesizer
