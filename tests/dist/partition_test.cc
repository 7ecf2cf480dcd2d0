// What the partition pass makes of whole training steps: which collectives, how many, of how many bytes. That the
// numbers come out the same is tested where they are run (tests/core/ops, tests/golden).
#include "dist/partition.h"

#include <gmock/gmock.h>

#include <map>
#include <tuple>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/graph/schedule.h"
#include "core/ops/collectives.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/train/step_graph.h"
#include "dist/buckets.h"
#include "dist/layout.h"

namespace synthesizer {
namespace {

using ::testing::HasSubstr;

const Layout kLayout{{{"batch", "data"}, {"heads", "tensor"}, {"ff", "tensor"}}};

StepGraphOptions small_step(const std::string& attention) {
  StepGraphOptions options;
  ModelConfig& model = options.model;
  model.vocab = 64;
  model.d_model = 16;
  model.d_ff = 32;
  model.num_heads = 4;
  model.d_head = 4;
  model.encoder_layers = model.decoder_layers = 2;
  model.encoder.kind = model.decoder.kind = attention;
  model.encoder.max_length = model.decoder.max_length = 16;
  options.shape = {8, 16, 8};
  options.optimizer.kind = OptimizerKind::kAdamW;
  return options;
}

std::map<std::string, int> collectives(const Graph& graph) {
  std::map<std::string, int> counts;
  for (const Node& node : graph.nodes())
    if (node.op->collective()) ++counts[std::string(node.op->name())];
  return counts;
}

std::unique_ptr<Graph> data_parallel(const StepGraphOptions& options, int ranks) {
  return training_graph(options, [&](const Graph& graph) { return partition(graph, kLayout, {"data", 0, ranks}); });
}

TEST(Partition, DataParallelReducesEachGradientOnceAndTheReports) {
  for (const char* attention : {"V", "R", "D+R+V", "FR+FD"}) {
    const auto graph = data_parallel(small_step(attention), 4);
    int parameters = 0;
    for (const Node& node : graph->nodes())
      if (const auto* leaf = dynamic_cast<const Leaf*>(node.op.get()))
        parameters += leaf->kind() == Leaf::Kind::kParameter;
    // Every parameter's gradient, and loss, nll_sum, weight_sum.
    EXPECT_EQ(collectives(*graph), (std::map<std::string, int>{{"all_reduce", parameters + 3}})) << attention;
    for (const auto& [name, ref] : graph->outputs()) EXPECT_EQ(graph->type(ref).shape.rank(), 0u) << name;
    Graph& local = *graph;
    EXPECT_EQ(local.leaf("inputs").shape(), (Shape{kBatch(2), kLength(16)}));
  }
}

TEST(Partition, FixedMatricesAreNeitherReducedNorUpdated) {
  const auto count = [](const std::string& attention) {
    return collectives(*data_parallel(small_step(attention), 2)).at("all_reduce");
  };
  EXPECT_EQ(count("R") - count("Fix"), 4);  // one R a layer
  const auto graph = data_parallel(small_step("Fix"), 2);
  for (const Node& node : graph->nodes()) EXPECT_EQ(node.name.find("fix.logits.adam"), std::string::npos) << node.name;
}

TEST(Partition, HeadsAndFeedForwardSplitWithOneReductionABlock) {
  const StepGraphOptions options = small_step("R+V");
  const auto graph = training_graph(options, [](const Graph& whole) {
    return partition(whole, kLayout, {"tensor", 1, 2});
  });
  Graph& local = *graph;
  const Value r = local.leaf("encoder.layers.0.self_attention.r.logits");
  EXPECT_EQ(r.shape(), (Shape{kHeads(2), kPosition(16), kMemoryPosition(16)}));
  EXPECT_EQ(dynamic_cast<const Leaf&>(*r.node().op).block().begin, (std::vector<int64_t>{2, 0, 0}));
  // Forward and backward one for each block: 2 encoder layers of 2 and 2 decoder layers of 3. One more for the
  // encoder's output, where the gradients of all its readers meet.
  int of_activations = 0;
  for (const Node& node : local.nodes()) {
    if (!node.op->collective()) continue;
    EXPECT_EQ(node.op->name(), "all_reduce") << node.name;
    of_activations += node.outputs[0].shape.has("batch");
  }
  EXPECT_EQ(of_activations, 10 + 10 + 1);
}

// Whatever the structure: one for each block forward and one backward, and one where a decoder's readers of the
// encoder's output meet. Weights that several applications share change nothing of it, and have one gradient.
TEST(Partition, EveryStructureReducesOnceABlock) {
  const auto universal = [] {
    StepGraphOptions options = small_step("R+V");
    options.model.universal = true;
    return options;
  };
  const auto structure = [](Structure of) {
    StepGraphOptions options = small_step("R+V");
    options.model.structure = of;
    options.model.num_classes = 4;
    if (of == Structure::kDecoder) options.shape.source_length = 0;
    if (of == Structure::kEncoderClassifier) options.shape.target_length = 0;
    return options;
  };
  for (const auto& [options, blocks, joins] : {std::tuple{universal(), 2 * 2 + 2 * 3, 1},
                                               {structure(Structure::kDecoder), 2 * 2, 0},
                                               {structure(Structure::kEncoderClassifier), 2 * 2, 0}}) {
    const auto tensor = training_graph(options, [](const Graph& whole) {
      return partition(whole, kLayout, {"tensor", 1, 2});
    });
    int of_activations = 0;
    for (const Node& node : tensor->nodes())
      of_activations += node.op->name() == "all_reduce" && node.outputs[0].shape.has("batch");
    EXPECT_EQ(of_activations, 2 * blocks + joins);

    const auto data = data_parallel(options, 4);
    int parameters = 0;
    for (const Node& node : data->nodes())
      if (const auto* leaf = dynamic_cast<const Leaf*>(node.op.get()))
        parameters += leaf->kind() == Leaf::Kind::kParameter;
    EXPECT_EQ(collectives(*data), (std::map<std::string, int>{{"all_reduce", parameters + 3}}));
  }
}

// The windows of LightConv split with its heads. DynConv's are computed from the channels of all heads: their partial
// sums are scattered before the softmax, one reduce-scatter a layer, and gathered again backward.
TEST(Partition, WindowsSplitByConvolutionHead) {
  for (const char* attention : {"LightConv", "DynConv"}) {
    const auto graph = training_graph(small_step(attention), [](const Graph& whole) {
      return partition(whole, kLayout, {"tensor", 1, 2});
    });
    const int dynamic = std::string_view(attention) == "DynConv" ? 4 : 0;
    const auto counts = collectives(*graph);
    const auto count = [&](const char* op) { return counts.contains(op) ? counts.at(op) : 0; };
    EXPECT_EQ(count("reduce_scatter"), dynamic) << attention;
    EXPECT_EQ(count("all_gather"), dynamic) << attention;
    EXPECT_EQ(count("all_to_all"), 0) << attention;
    int of_activations = 0;
    for (const Node& node : graph->nodes()) {
      if (node.op->name() == "window") {
        EXPECT_EQ(node.outputs[0].shape.size("heads"), 2) << attention;
      }
      of_activations += node.op->name() == "all_reduce" && node.outputs[0].shape.has("batch");
    }
    EXPECT_EQ(of_activations, 10 + 10 + 1) << attention;
  }
}

TEST(Partition, AValueIsReducedWhereItIsSmallest) {
  Graph graph;
  const Value x = input(graph, "x", DType::kFloat32, {kBatch(8), kModel(4)});
  const Value small = reduce_sum(x, {"batch"});                           // [model], partial over data
  const Value large = broadcast(small * 2.0, {kLength(100), kModel(4)});  // linear
  graph.mark_output("y", relu(large));
  const auto local = partition(graph, kLayout, {"data", 0, 2});
  for (const Node& node : local->nodes()) {
    if (node.op->collective()) {
      EXPECT_EQ(node.outputs[0].shape, (Shape{kModel(4)}));
    }
  }
  EXPECT_EQ(collectives(*eliminate_dead(*local)), (std::map<std::string, int>{{"all_reduce", 1}}));
}

TEST(Partition, RefusesWhatCannotBeSplitNamingOpDimensionAndEntry) {
  Graph graph;
  input(graph, "x", DType::kFloat32, {kBatch(7), kModel(4)});
  try {
    partition(graph, kLayout, {"data", 0, 2});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("batch:data cannot split batch 7 over 2"));
  }
  Graph twice;
  parameter(twice, "w", DType::kFloat32, {kHeads(4), kFf(4)}, {});
  try {
    partition(twice, kLayout, {"tensor", 0, 2});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("both heads and ff to axis tensor"));
  }
}

TEST(Buckets, JoinAllReducesUpToTheirSizeAndKeepEveryResult) {
  const auto graph = data_parallel(small_step("R+V"), 2);
  const auto one = bucket_all_reduces(*graph, int64_t{1} << 40);
  const auto small = bucket_all_reduces(*graph, 4096);
  const auto members = [](const Graph& g) {
    size_t count = 0;
    for (const Node& node : g.nodes())
      if (node.op->collective()) count += node.outputs.size();
    return count;
  };
  EXPECT_EQ(members(*one), members(*graph));
  EXPECT_EQ(members(*small), members(*graph));
  EXPECT_LT(collectives(*one).at("all_reduce"), 6);
  EXPECT_GT(collectives(*small).at("all_reduce"), collectives(*one).at("all_reduce"));
  EXPECT_EQ(one->outputs().size(), graph->outputs().size());
}

TEST(Buckets, TheFirstIsUnderWayWhileBackwardGoesOn) {
  const auto graph = bucket_all_reduces(*data_parallel(small_step("R+V"), 2), 8192);
  const Schedule order = schedule(*graph);
  int first_collective = -1, last_product = -1, waited_for = 0;
  for (int p = 0; p < static_cast<int>(order.order.size()); ++p) {
    const Node& node = graph->node(order.order[static_cast<size_t>(p)]);
    if (node.op->collective() && first_collective < 0) {
      first_collective = p;
      waited_for = order.wait[static_cast<size_t>(p)];
    }
    if (node.op->name() == "einsum") last_product = p;
  }
  EXPECT_LT(first_collective, last_product / 2 + last_product / 4);  // backward begins before the half
  EXPECT_GT(waited_for, last_product);                               // and nobody waits until it has ended
}

}  // namespace
}  // namespace synthesizer
