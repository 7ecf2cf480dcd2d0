// Which sums are one call: gradients as they become ready, and the small ones of all parameters' updates together.
#include "dist/buckets.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/ops/collectives.h"
#include "dist/parallel.h"
#include "tests/dist/layout_run.h"

namespace synthesizer {
namespace {

std::unique_ptr<Graph> step_on(Mesh2d shape, int64_t layers, int64_t bucket_bytes = kBucketBytes) {
  StepGraphOptions options = layout_options(models_named({"mixtures"})[0], DType::kFloat32);
  options.model.encoder_layers = options.model.decoder_layers = layers;
  PartitionOptions partition = partition_on(shape);
  partition.bucket_bytes = bucket_bytes;
  const Mesh mesh = Mesh::fake({.axes = {{"data", shape.data}, {"tensor", shape.tensor}}}, 0);
  return training_graph(options_on(shape, options), partition_for(mesh, default_layout(), partition));
}

// Of the update: calls, and the sums in them.
std::pair<int64_t, int64_t> sums_of_update(const Graph& graph) {
  std::pair<int64_t, int64_t> count{0, 0};
  for (const Node& node : graph.nodes())
    if (const auto* sum = dynamic_cast<const AllReduce*>(node.op.get());
        sum != nullptr && node.name.starts_with("update.")) {
      ++count.first;
      count.second += static_cast<int64_t>(sum->count());
    }
  return count;
}

// Adafactor's rows and columns, the norms of its directions and of the parameters: as many calls for any depth.
TEST(Buckets, SumsOfAllUpdatesAreAFewCalls) {
  for (const Mesh2d shape : {Mesh2d{2, 1, 1, /*zero=*/1}, Mesh2d{1, 2}, Mesh2d{4, 1, 1, /*zero=*/2}}) {
    SCOPED_TRACE(text(shape));
    const auto [shallow_calls, shallow_sums] = sums_of_update(*step_on(shape, 1));
    const auto [deep_calls, deep_sums] = sums_of_update(*step_on(shape, 6));
    EXPECT_EQ(deep_calls, shallow_calls);
    EXPECT_LE(deep_calls, 4);
    EXPECT_GT(deep_sums, 3 * shallow_sums);
    EXPECT_GT(deep_sums, 100);
  }
}

// Also where every sum of gradients is a call of its own.
TEST(Buckets, EndAtTheirSize) {
  const auto calls = [](const Graph& graph) {
    return std::count_if(graph.nodes().begin(), graph.nodes().end(), [](const Node& node) {
      return dynamic_cast<const AllReduce*>(node.op.get()) != nullptr && node.name.starts_with("gradient.");
    });
  };
  EXPECT_LE(calls(*step_on({2, 1}, 2)), 1);
  EXPECT_GT(calls(*step_on({2, 1}, 2, 1)), 40);
}

}  // namespace
}  // namespace synthesizer
