// What of a model's forward pass is in memory while backward runs, with each choice of `recompute`; and what that
// saves.
#include "core/graph/recompute.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/attention/table.h"
#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/graph/memory_plan.h"
#include "core/graph/report.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/ops/rms_norm.h"
#include "core/tensor/storage.h"
#include "core/train/step_graph.h"

namespace synthesizer {
namespace {

// Everything with a number for each query and key is larger than all else, a feed-forward's hidden layer included, and
// so is what Linformer has of each query (kRankOfKeys) and what a window unfolds.
constexpr int64_t kBatchSize = 2, kPositions = 32, kWidth = 8, kHidden = 16, kLayers = 3, kRankOfKeys = 20;
constexpr int64_t kLargestKept = kBatchSize * kPositions * kHidden;

struct ModelSetting {
  std::string name, kind;
  Structure structure = Structure::kEncoderDecoder;
  bool packed = false;
  void (*change)(ModelConfig&) = nullptr;
};

StepGraphOptions options_of(const ModelSetting& setting, Recompute choice) {
  StepGraphOptions options;
  ModelConfig& model = options.model;
  model = {
      .structure = setting.structure, .vocab = 12, .d_model = kWidth, .d_ff = kHidden, .num_heads = 2, .d_head = 4};
  model.encoder_layers = model.decoder_layers = kLayers;
  model.encoder = {.kind = setting.kind, .max_length = kPositions};
  model.encoder.factor_rank = setting.kind == "Linformer" ? kRankOfKeys : 2;
  model.encoder.bottleneck = 4;
  model.decoder = model.encoder;
  if (setting.kind == "Linformer") model.decoder.kind = "V";
  model.dropout = 0.1;
  if (setting.structure == Structure::kEncoderClassifier) model.num_classes = 3;
  if (setting.change != nullptr) setting.change(model);
  options.shape = {kBatchSize, setting.structure == Structure::kDecoder ? 0 : kPositions,
                   setting.structure == Structure::kEncoderClassifier ? 0 : kPositions};
  options.input_mask = true;
  options.packed = setting.packed;
  options.optimizer.kind = OptimizerKind::kAdamW;
  options.recompute = choice;
  return options;
}

std::vector<ModelSetting> settings() {
  std::vector<ModelSetting> all;
  for (const std::string& kind : attention_names()) all.push_back({kind, kind});
  for (const std::string& kind : attention_names())
    if (kind != "Linformer") all.push_back({"packed " + kind, kind, Structure::kDecoder, true});
  all.push_back({"mixture", "D+R+V"});
  all.push_back({"factors", "FR+FD"});
  all.push_back({"decoder", "R+V", Structure::kDecoder});
  all.push_back({"classifier", "V", Structure::kEncoderClassifier});
  all.push_back({"universal", "R+V", Structure::kEncoderDecoder, false, [](ModelConfig& m) { m.universal = true; }});
  all.push_back({"universal packed", "D", Structure::kDecoder, true, [](ModelConfig& m) { m.universal = true; }});
  all.push_back({"dropout of weights", "R+V", Structure::kEncoderDecoder, false,
                 [](ModelConfig& m) { m.dropout_broadcast = false; }});
  all.push_back({"gelu", "V", Structure::kEncoderDecoder, false, [](ModelConfig& m) { m.gated_gelu = true; }});
  all.push_back({"shared heads", "D", Structure::kEncoderDecoder, false, [](ModelConfig& m) {
                   m.encoder.share_across_heads = true;
                   m.decoder.dense_width = DenseWidth::kModel;
                 }});
  return all;
}

// Values of the forward pass, the loss's ancestors, that a later node reads; seen through views, and no leaves.
std::vector<ValueRef> alive_in_backward(const Graph& graph) {
  std::vector<char> forward(graph.nodes().size());
  for (const auto& [name, ref] : graph.outputs())
    if (name == "loss") forward[static_cast<size_t>(ref.node)] = 1;
  for (size_t id = forward.size(); id-- > 0;)
    if (forward[id])
      for (const ValueRef& input : graph.nodes()[id].inputs) forward[static_cast<size_t>(input.node)] = 1;
  const auto source = [&](ValueRef ref) {
    for (bool view = true; view;) {
      view = false;
      for (const Alias& alias : graph.node(ref.node).op->aliases())
        if (alias.kind == Alias::Kind::kView && alias.output == ref.output) {
          ref = graph.node(ref.node).inputs[static_cast<size_t>(alias.input)];
          view = true;
          break;
        }
    }
    return ref;
  };
  std::set<ValueRef> alive;
  for (const Node& node : graph.nodes()) {
    if (forward[static_cast<size_t>(node.id)]) continue;
    for (const ValueRef& input : node.inputs) {
      const ValueRef ref = source(input);
      if (forward[static_cast<size_t>(ref.node)] && dynamic_cast<const Leaf*>(graph.node(ref.node).op.get()) == nullptr)
        alive.insert(ref);
    }
  }
  return {alive.begin(), alive.end()};
}

int64_t arena_of(const StepGraphOptions& options) {
  const auto graph = training_graph(options, nullptr);
  return plan_memory(*graph, schedule(*graph), CpuKernelTable(1)).arena_bytes;
}

TEST(RecomputeAttention, KeepsNothingOfTheSizeOfAnAlignment) {
  for (const ModelSetting& setting : settings()) {
    SCOPED_TRACE(setting.name);
    const auto large = [&](Recompute choice) {
      const auto graph = training_graph(options_of(setting, choice), nullptr);
      std::vector<std::string> names;
      for (const ValueRef& ref : alive_in_backward(*graph))
        if (graph->type(ref).shape.elements() > kLargestKept)
          names.push_back(graph->node(ref.node).name + " " + graph->type(ref).shape.to_string());
      return names;
    };
    // Window weights of convolutions are small.
    const bool small = setting.kind == "LightConv" || setting.kind == "DynConv";
    // Where attention goes by blocks (core/ops/dot_attention.h) the bias of each stack is all there is.
    EXPECT_GE(large(Recompute::kNone).size(), small ? 0u : 1u);
    EXPECT_EQ(large(Recompute::kAttention), std::vector<std::string>());
  }
}

// "encoder.layers.3", "decoder.steps.2"; "" of what is in no layer.
std::string layer_of(const std::string& name) {
  const size_t layer = std::min(name.find(".layers."), name.find(".steps."));
  if (layer == std::string::npos) return "";
  return name.substr(0, name.find_first_of("./", name.find('.', layer + 1) + 1));
}

// The forward nodes' layers that read a value, or a view of it.
std::set<std::string> reading_layers(const Graph& graph, ValueRef ref) {
  std::set<std::string> layers;
  for (const Node& node : graph.nodes()) {
    if (node.name.starts_with("gradient.") || is_recomputed(node)) continue;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] != ref) continue;
      const auto aliases = node.op->aliases();
      if (!aliases.empty() && aliases[0].kind == Alias::Kind::kView)
        layers.merge(reading_layers(graph, {node.id, 0}));
      else
        layers.insert(layer_of(node.name));
    }
  }
  return layers;
}

// The layer that a value is of. The norm of a sum has the sum's name, and is its reader's.
std::string layer_of(const Graph& graph, ValueRef ref) {
  const Node& node = graph.node(ref.node);
  const auto* norm = dynamic_cast<const RmsNorm*>(node.op.get());
  if (norm == nullptr || !norm->residual() || ref.output == 2) return layer_of(node.name);
  const std::set<std::string> readers = reading_layers(graph, ref);
  return readers.size() == 1 ? *readers.begin() : "";
}

TEST(RecomputeBlock, KeepsOneValueALayer) {
  for (const ModelSetting& setting : settings()) {
    SCOPED_TRACE(setting.name);
    const auto graph = training_graph(options_of(setting, Recompute::kBlock), nullptr);
    std::map<std::string, int> residuals;  // by layer
    for (const ValueRef& ref : alive_in_backward(*graph)) {
      const std::string& name = graph->node(ref.node).name;
      const std::string layer = layer_of(*graph, ref);
      if (layer.empty()) continue;
      // What several layers read is made once: of masks, and of a universal layer's weights or the encoder's output.
      if (reading_layers(*graph, ref).size() > 1) continue;
      EXPECT_EQ(graph->type(ref).shape, (Shape{kBatch(kBatchSize), kLength(kPositions), kModel(kWidth)})) << name;
      ++residuals[layer];
    }
    const bool both = setting.structure == Structure::kEncoderDecoder;
    EXPECT_EQ(residuals.size(), static_cast<size_t>(kLayers * (both ? 2 : 1)));
    for (const auto& [layer, count] : residuals) EXPECT_EQ(count, 1) << layer;
  }
}

// Whether a layer has something of the size of an alignment in memory: attention by blocks has none of its own, but
// reads what examples share and the windows of Conv, and the weights of a window are small.
bool keeps_alignments(const ModelSetting& setting) {
  const auto is = [&](std::initializer_list<std::string_view> kinds) {
    return std::find(kinds.begin(), kinds.end(), setting.kind) != kinds.end();
  };
  return is({"R", "FR", "Conv", "FR+FD", "Linformer"}) || setting.name == "dropout of weights";
}

TEST(Recompute, TakesLessMemory) {
  for (const ModelSetting& setting : settings()) {
    SCOPED_TRACE(setting.name);
    const int64_t none = arena_of(options_of(setting, Recompute::kNone));
    const int64_t attention = arena_of(options_of(setting, Recompute::kAttention));
    const int64_t block = arena_of(options_of(setting, Recompute::kBlock));
    EXPECT_LE(attention, none);
    EXPECT_LT(block, none);
    if (keeps_alignments(setting)) {
      EXPECT_LT(attention, none);
    }
  }
}

// A layer of dot product keeps nothing of the size of an alignment; made of its parts it keeps its weights.
TEST(Recompute, AttentionByBlocksHasLittleToSave) {
  const auto layer_more = [](bool fused, Recompute choice) {
    const auto arena = [&](int64_t layers) {
      StepGraphOptions options = options_of({"", "V", Structure::kDecoder}, choice);
      options.model.decoder_layers = layers;
      options.passes = fused;
      return arena_of(options);
    };
    return arena(9) - arena(8);
  };
  const int64_t log_sums = kBatchSize * 2 * kPositions * 4, weights = log_sums * kPositions;
  EXPECT_GE(layer_more(false, Recompute::kNone), layer_more(true, Recompute::kNone) + weights - log_sums);
  EXPECT_EQ(layer_more(true, Recompute::kAttention), layer_more(true, Recompute::kNone));
}

// A layer more: its result, its gradients (which clipping keeps to the end of backward), and alignment. Without
// recompute all that it computes.
TEST(RecomputeBlock, ALayerMoreIsAResidualAndItsGradients) {
  const ModelSetting setting{"", "V", Structure::kDecoder};
  const auto with_layers = [&](Recompute choice, int64_t layers) {
    StepGraphOptions options = options_of(setting, choice);
    options.model.decoder_layers = layers;
    return options;
  };
  int64_t gradients = 0;  // of one layer
  const auto graph = training_graph(with_layers(Recompute::kBlock, 1), nullptr);
  for (const Node& node : graph->nodes())
    if (const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
        leaf != nullptr && leaf->kind() == Leaf::Kind::kParameter && node.name.starts_with("decoder.layers."))
      gradients += align_up(node.outputs[0].bytes());
  const int64_t residual = align_up(kBatchSize * kPositions * kWidth * 4);
  const auto eight_more = [&](Recompute choice) {
    return arena_of(with_layers(choice, 16)) - arena_of(with_layers(choice, 8));
  };
  EXPECT_LE(eight_more(Recompute::kBlock), 8 * (residual + gradients));
  EXPECT_GE(eight_more(Recompute::kBlock), 8 * residual);
  EXPECT_GT(eight_more(Recompute::kNone), 4 * 8 * (residual + gradients));
}

TEST(Recompute, OfNothingIsRefused) {
  const auto message = [](const StepGraphOptions& options) -> std::string {
    try {
      training_graph(options, nullptr);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  const ModelSetting windows{"", "LightConv", Structure::kDecoder};
  EXPECT_EQ(message(options_of(windows, Recompute::kAttention)), "");  // the logits are made again
  EXPECT_EQ(message(options_of(windows, Recompute::kBlock)), "");
  // Attention by blocks keeps no such numbers to begin with: what was asked for holds.
  StepGraphOptions dot = options_of({"", "V", Structure::kDecoder}, Recompute::kAttention);
  dot.model.relative_bias = false;
  EXPECT_EQ(message(dot), "");
  StepGraphOptions frozen = options_of({"", "V", Structure::kDecoder}, Recompute::kBlock);
  frozen.model.tie_output = false;
  frozen.freeze = {"embedding", "decoder"};
  EXPECT_EQ(message(frozen), "recompute: got BLOCK, expected NONE: backward reads nothing of any layer");
}

TEST(Recompute, CountsWhatIsDoneTwice) {
  for (const ModelSetting& setting : settings())
    for (const bool fused : {false, true}) {
      SCOPED_TRACE(setting.name + (fused ? ", fused" : ""));
      const auto flops = [&](Recompute choice) {
        StepGraphOptions options = options_of(setting, choice);
        options.passes = fused;
        const auto graph = training_graph(options, nullptr);
        int64_t all = 0;
        for (const NodeReport& node : report_nodes(*graph, {})) all += node.flops;
        return std::array{all, product_flops(*graph), recomputed_flops(*graph)};
      };
      const auto none = flops(Recompute::kNone), attention = flops(Recompute::kAttention),
                 block = flops(Recompute::kBlock);
      if (!fused) {
        EXPECT_EQ(none[2], 0);  // attention by blocks makes scores again in any case
      }
      for (const auto& some : {attention, block}) {
        EXPECT_EQ(some[0] - some[2], none[0] - none[2]);
        EXPECT_EQ(some[1], none[1]);
      }
      EXPECT_LT(attention[2], block[2]);
      EXPECT_LT(block[2] - none[2], none[0] / 3);  // at most forward again, of which backward is twice
    }
}

}  // namespace
}  // namespace synthesizer
