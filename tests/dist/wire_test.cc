// Gradients that travel between data ranks as bfloat16: which sums do, what is planned for them, and that training
// stays near what it is in float32, with the same bits on all data ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/ops/collectives.h"
#include "dist/parallel.h"
#include "dist/plan.h"
#include "tests/dist/layout_run.h"

namespace synthesizer {
namespace {

constexpr Wire kBf16 = Wire::kBFloat16;

StepGraphs graphs_on(Mesh2d shape, const StepGraphOptions& options) {
  const Mesh mesh = Mesh::fake({.axes = {{"data", shape.data}, {"tensor", shape.tensor}}}, 0);
  return training_graphs(options_on(shape, options), partition_for(mesh, default_layout(), partition_on(shape)));
}

// Every sum of gradients over data ranks, and nothing else: not the loss, a tensor rank's sums, the optimizer's
// statistics or new weights.
void expect_gradients_alone(Mesh2d shape, const StepGraphOptions& options) {
  SCOPED_TRACE(text(shape));
  const StepGraphs step = graphs_on(shape, options);
  int rounded = 0;
  for (const auto& graph : step.graphs)
    for (const Node& node : graph->nodes()) {
      const auto* sum = dynamic_cast<const AllReduce*>(node.op.get());
      const auto* scatter = dynamic_cast<const ReduceScatter*>(node.op.get());
      if (sum == nullptr && scatter == nullptr) continue;
      const std::string& axis = sum != nullptr ? sum->axis() : scatter->axis();
      // Sums over micro-batches are named after what adds them up: that of the loss is one too.
      const bool gradient = node.name.starts_with("gradient.") ||
                            (node.name.find("/accumulate") != std::string::npos && node.outputs[0].shape.rank() > 0);
      const bool is_rounded = (sum != nullptr ? sum->wire() : scatter->wire()) == kBf16;
      EXPECT_EQ(is_rounded, axis == "data" && gradient) << node.name << " over " << axis;
      rounded += is_rounded ? 1 : 0;
    }
  EXPECT_GT(rounded, 0);
}

TEST(Wire, GradientsOverDataRanksAndNothingElse) {
  for (const LayoutSetting& setting : models_named({"mixtures", "adamw", "factorized", "universal", "classifier"})) {
    SCOPED_TRACE(setting.name);
    for (const Mesh2d shape :
         {Mesh2d{2, 1, 1, 0, 0, 1, kBf16}, Mesh2d{2, 2, 1, 0, 0, 1, kBf16}, Mesh2d{2, 1, 2, 0, 0, 1, kBf16},
          Mesh2d{2, 2, 1, 1, 0, 1, kBf16}, Mesh2d{2, 1, 2, 2, 0, 1, kBf16}})
      expect_gradients_alone(shape, layout_options(setting, DType::kFloat32));
  }
}

TEST(Wire, OfFloat64IsRefused) {
  EXPECT_THAT(
      [] {
        graphs_on({2, 1, 1, 0, 0, 1, kBf16}, layout_options(models_named({"V"})[0], DType::kFloat64));
      },
      testing::ThrowsMessage<Error>(testing::HasSubstr("expected f32, which can be sent as bf16")));
}

int64_t planned_bytes(Mesh2d shape, const StepGraphOptions& options, Collective kind) {
  const MeshShape mesh{.axes = {{"data", shape.data}, {"tensor", shape.tensor}}};
  for (const CollectiveTotal& total : plan_step(graphs_on(shape, options), CpuKernelTable(1), mesh).collectives)
    if (total.kind == kind && total.axis == "data") return total.traffic.bytes;
  return 0;
}

// What is not halved are a few scalars.
TEST(Wire, PlannedBytesAreHalf) {
  const StepGraphOptions options = layout_options(models_named({"adamw"})[0], DType::kFloat32);
  const Collective sum = Collective::kAllReduce, scatter = Collective::kReduceScatter, gather = Collective::kAllGather;
  const int64_t full = planned_bytes({2, 1}, options, sum);
  EXPECT_NEAR(planned_bytes({2, 1, 1, 0, 0, 1, kBf16}, options, sum), full / 2.0, 64);
  const Mesh2d zero{2, 1, 1, 1}, zero_bf16{2, 1, 1, 1, 0, 1, kBf16};
  EXPECT_EQ(planned_bytes(zero_bf16, options, scatter) * 2, planned_bytes(zero, options, scatter));
  EXPECT_EQ(planned_bytes(zero_bf16, options, gather), planned_bytes(zero, options, gather));
}

// A rank's parameters, in the store's order.
std::vector<float> parameters(RankRun& run) {
  std::vector<float> all;
  for (const StateTensor& tensor : run.step.state().tensors())
    if (tensor.kind == Leaf::Kind::kParameter) {
      const auto* data = reinterpret_cast<const float*>(tensor.data);
      all.insert(all.end(), data, data + tensor.type.shape.elements());
    }
  return all;
}

class WireTraining : public testing::TestWithParam<LayoutSetting> {};

TEST_P(WireTraining, StaysNearAndAlikeOnAllDataRanks) {
  constexpr int kSteps = 20;
  const StepGraphOptions options = layout_options(GetParam(), DType::kFloat32);
  const WholeRun whole = train_whole(options, kSteps, 1e-3);
  for (const Mesh2d shape : {Mesh2d{2, 1, 1, 0, 0, 1, kBf16}, Mesh2d{4, 1, 1, 0, 0, 1, kBf16},
                             Mesh2d{2, 2, 1, 1, 0, 1, kBf16}, Mesh2d{2, 1, 2, 2, 0, 1, kBf16}})
    on_mesh(options, default_layout(), shape, [&](RankRun& run) {
      SCOPED_TRACE(text(shape));
      run.learning_rate = 1e-3;
      run.train(0, kSteps);
      for (size_t i = 0; i < kSteps; ++i) {
        EXPECT_NEAR(run.results[i].loss, whole.results[i].loss, 1e-3 * whole.results[i].loss) << "step " << i;
        EXPECT_NEAR(run.results[i].gradient_norm, whole.results[i].gradient_norm, 0.01 * whole.results[i].gradient_norm)
            << "step " << i;
      }
      Communicator& data = run.mesh.axis("data");
      const std::vector<float> own = parameters(run);
      std::vector<float> all(own.size() * static_cast<size_t>(data.size()));
      data.all_gather(own.data(), all.data(), static_cast<int64_t>(own.size()), DType::kFloat32);
      for (int r = 0; r < data.size(); ++r)
        EXPECT_EQ(std::memcmp(all.data() + static_cast<size_t>(r) * own.size(), own.data(), own.size() * sizeof(float)),
                  0)
            << "rank " << r;
    });
}

INSTANTIATE_TEST_SUITE_P(Models, WireTraining,
                         testing::ValuesIn(models_named({"V", "mixtures", "adamw", "dropout", "decoder",
                                                         "classifier"})),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace synthesizer
