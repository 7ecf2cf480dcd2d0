// A training step on two tensor ranks, without running it: its collectives against those worked out by hand, and that
// a rank holds and computes half of everything that can be split.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "core/attention/table.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/graph/report.h"
#include "core/train/step_graph.h"
#include "dist/partition.h"

namespace synthesizer {
namespace {

constexpr int64_t kBatchSize = 8, kSource = 16, kTarget = 12, kWidth = 32, kLayers = 2;

StepGraphOptions options_of(const std::string& kind) {
  StepGraphOptions options;
  ModelConfig& model = options.model;
  model = {.vocab = 60, .padded_vocab = 64, .d_model = kWidth, .d_ff = 48, .num_heads = 4, .d_head = 8};
  model.encoder_layers = model.decoder_layers = kLayers;
  model.encoder = {.kind = kind, .max_length = 16};
  model.decoder = {.kind = kind == "Linformer" ? "V" : kind, .max_length = 16};
  options.shape = {kBatchSize, kSource, kTarget};
  options.optimizer.kind = OptimizerKind::kAdamW;
  return options;
}

std::unique_ptr<Graph> step_of(const std::string& kind, int ranks) {
  const Layout layout{{{"batch", "data"}, {"heads", "tensor"}, {"ff", "tensor"}, {"vocab", "tensor"}}};
  return training_graph(options_of(kind), [&](const Graph& whole) {
    return ranks == 1 ? eliminate_dead(whole) : eliminate_dead(*partition(whole, layout, {"tensor", 0, ranks}));
  });
}

std::vector<std::string> kinds() {
  std::vector<std::string> kinds = attention_names();
  for (const char* mixture : {"R+V", "D+V", "FR+FD", "Conv+R", "D+R+V"}) kinds.emplace_back(mixture);
  return kinds;
}

// Numbers of collectives and their bytes (float32, of the result), by kind and what they are of.
struct Count {
  int64_t number = 0, bytes = 0;
  bool operator==(const Count&) const = default;
};
using Counts = std::map<std::string, Count>;

void add(Counts& counts, const std::string& key, int64_t number, int64_t elements) {
  if (number == 0) return;
  counts[key].number += number;
  counts[key].bytes += number * elements * 4;
}

// Forward one all-reduce after each block (attention, cross-attention, feed-forward) and after each embedding; backward
// one before each block's norm, one of the output layer's gradient and one of the encoder's output, which all
// cross-attentions read. The cross entropy reduces a maximum and a sum a row; loss, its report and the gradients' norm
// are a number each. A mixture's weights sum over the heads. DynConv computes its windows' weights from all heads:
// scattered forward, gathered backward.
Counts by_hand(const std::string& kind) {
  Counts counts;
  const int64_t encoder_blocks = 2 * kLayers, decoder_blocks = 3 * kLayers;
  add(counts, "all_reduce of encoder activations", 2 * encoder_blocks + 2, kBatchSize * kSource * kWidth);
  add(counts, "all_reduce of decoder activations", 2 * decoder_blocks + 2, kBatchSize * kTarget * kWidth);
  add(counts, "all_reduce of rows", 2, kBatchSize * kTarget);
  add(counts, "all_reduce of a number", 3, 1);
  const auto parts = static_cast<int64_t>(attention_parts(kind).size());
  if (parts > 1) add(counts, "all_reduce of weights", 2 * kLayers, parts);
  if (kind == "DynConv") {
    const int64_t windows = 4 * 3 * kBatchSize * (kSource + kTarget);  // heads × width, of both stacks' positions
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      counts["reduce_scatter of windows"].number += 2;
      counts["reduce_scatter of windows"].bytes += windows / 2 * 4;
      counts["all_gather of windows"].number += 2;
      counts["all_gather of windows"].bytes += windows * 4;
    }
  }
  return counts;
}

std::string subject(const Shape& shape) {
  if (shape.rank() == 0) return "a number";
  if (shape.has("parts")) return "weights";
  if (shape.has("window")) return "windows";
  if (!shape.has("batch")) return shape.to_string();
  if (!shape.has("model")) return "rows";
  return shape.size("length") == kSource ? "encoder activations" : "decoder activations";
}

TEST(TensorStep, HasTheCollectivesWorkedOutByHand) {
  for (const std::string& kind : kinds()) {
    Counts found;
    const auto graph = step_of(kind, 2);
    for (const Node& node : graph->nodes()) {
      if (!node.op->collective()) continue;
      Count& count = found[fmt::format("{} of {}", node.op->name(), subject(node.outputs[0].shape))];
      ++count.number;
      count.bytes += node.outputs[0].bytes();
    }
    const Counts expected = by_hand(kind);
    for (const auto& [what, count] : expected) {
      EXPECT_EQ(found[what].number, count.number) << kind << ": " << what;
      EXPECT_EQ(found[what].bytes, count.bytes) << kind << ": " << what;
    }
    for (const auto& [what, count] : found) EXPECT_TRUE(expected.contains(what)) << kind << ": " << what;
  }
}

// What a rank holds whole: scales of norms, and the weights of mixtures.
bool held_whole(const std::string& name) {
  return name.find("norm.scale") != std::string::npos || name.find("mixture.alpha") != std::string::npos ||
         name.find("shared_heads") != std::string::npos;
}

TEST(TensorStep, HoldsHalfOfEveryMatrix) {
  for (const std::string& kind : kinds()) {
    int64_t halves = 0;
    const auto graph = step_of(kind, 2);
    for (const Node& node : graph->nodes()) {
      const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
      if (leaf == nullptr || !leaf->persistent()) continue;
      const int64_t whole = leaf->block().whole.elements(), own = node.outputs[0].shape.elements();
      EXPECT_EQ(own, held_whole(node.name) ? whole : whole / 2) << kind << ": " << node.name;
      halves += held_whole(node.name) ? 0 : 1;
    }
    EXPECT_GT(halves, 40) << kind;
  }
}

// ZeRO, stage 1: of four data ranks each has a quarter of the moments of everything that divides, and all parameters.
TEST(ZeroStep, HoldsAQuarterOfTheMoments) {
  const Layout layout{{{"batch", "data"}, {"heads", "tensor"}, {"ff", "tensor"}, {"vocab", "tensor"}}};
  StepGraphOptions options = options_of("R+V");
  options.optimizer.in_parts = true;
  const auto graph = training_graph(options, [&](const Graph& whole) {
    return eliminate_dead(*partition(whole, layout, {"data", 0, 4}, nullptr, {.zero = 1}));
  });
  int64_t quarters = 0;
  std::map<std::string_view, int> counts;
  for (const Node& node : graph->nodes()) {
    if (node.op->collective() && node.name.starts_with("update.")) ++counts[node.op->name()];
    const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
    if (leaf == nullptr || !leaf->persistent()) continue;
    const int64_t whole = leaf->block().whole.elements(), own = node.outputs[0].shape.elements();
    const bool split = leaf->kind() == Leaf::Kind::kState && node.name.find("mixture.alpha") == std::string::npos;
    EXPECT_EQ(own, split ? whole / 4 : whole) << node.name;
    quarters += split ? 1 : 0;
  }
  EXPECT_GT(quarters, 80);
  // Each such parameter's new value is gathered once.
  EXPECT_EQ(counts["all_gather"], quarters / 2);
}

// ZeRO, stage 2: of four data ranks each keeps a quarter of the sums of gradients over micro-batches; below it, all.
TEST(ZeroStep, HoldsAQuarterOfTheSums) {
  for (const int zero : {1, 2}) {
    StepGraphOptions options = options_of("R+V");
    options.optimizer.in_parts = true;
    options.accumulation.micro_batches.count = 2;
    const StepGraphs graphs = training_graphs(options, [&](const Graph& whole) {
      return eliminate_dead(*partition(whole, {{{"batch", "data"}}}, {"data", 0, 4}, nullptr, {.zero = zero}));
    });
    int64_t whole_bytes = 0, own_bytes = 0;
    for (const Node& node : graphs.update().nodes()) {
      const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
      if (leaf == nullptr || leaf->kind() != Leaf::Kind::kGathered) continue;
      const int64_t whole = leaf->block().whole.elements(), own = node.outputs[0].shape.elements();
      const bool split = zero == 2 && whole > 1 && node.name.find("mixture.alpha") == std::string::npos;
      EXPECT_EQ(own, split ? whole / 4 : whole) << node.name;
      whole_bytes += whole;
      own_bytes += own;
    }
    EXPECT_GT(whole_bytes, 1000);
    EXPECT_NEAR(static_cast<double>(own_bytes), static_cast<double>(whole_bytes) / (zero == 2 ? 4 : 1), 16);
  }
}

TEST(TensorStep, ComputesHalfOfTheProducts) {
  for (const std::string& kind : kinds()) {
    const int64_t whole = product_flops(*step_of(kind, 1)), own = product_flops(*step_of(kind, 2));
    // The first rank has 32 of the 60 words that count. A logit of a row: its product, two of its gradient, and
    // seven operations of the softmax and its gradient.
    const int64_t word = kBatchSize * kTarget * (3 * 2 * kWidth + 7);
    EXPECT_EQ(own, whole / 2 + 2 * word) << kind;
  }
}

}  // namespace
}  // namespace synthesizer
