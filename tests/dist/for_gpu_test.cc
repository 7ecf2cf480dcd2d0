// The passes that a step for a GPU has on top, on meshes: dropouts in chains, masks of relus and updates put together
// change no bit under tensor and data ranks, ZeRO, micro-batches and ordered reduction.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/dist/rank_bytes.h"

namespace synthesizer {
namespace {

struct Setting {
  OptimizerKind optimizer;
  bool bfloat16;

  friend void PrintTo(const Setting& setting, std::ostream* out) {
    *out << fmt::format("{}{}", static_cast<int>(setting.optimizer), setting.bfloat16 ? " bf16" : "");
  }
};

class ForGpuOnMeshes : public testing::TestWithParam<Setting> {};

TEST_P(ForGpuOnMeshes, GivesTheSameBits) {
  LayoutSetting setting{"", "R+V", "D+FR", Structure::kEncoderDecoder, GetParam().optimizer, 0.1};
  setting.bfloat16 = GetParam().bfloat16;
  StepGraphOptions options = layout_options(setting, DType::kFloat32), for_gpu = options;
  for_gpu.for_gpu = true;
  for (const Mesh2d& mesh : kVariousMeshes) {
    SCOPED_TRACE(text(mesh));
    size_t fusions = 0;
    const auto got = train_bytes(for_gpu, mesh, [&](const RankRun& run) {
      if (run.mesh.rank() != 0) return;
      for (const Node& node : run.step.graphs().update().nodes()) fusions += node.op->name() == "horizontal";
    });
    EXPECT_GE(fusions, 1u);
    expect_same_bytes(got, train_bytes(options, mesh, [](const RankRun&) {}));
  }
}

INSTANTIATE_TEST_SUITE_P(Settings, ForGpuOnMeshes,
                         testing::Values(Setting{OptimizerKind::kAdamW, false},
                                         Setting{OptimizerKind::kAdafactor, false},
                                         Setting{OptimizerKind::kAdamW, true},
                                         Setting{OptimizerKind::kAdafactor, true}));

}  // namespace
}  // namespace synthesizer
