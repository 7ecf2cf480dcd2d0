// Weights' bf16 copies on meshes: a rank has those of its own blocks, and trains to the same bits as without them,
// under tensor and data ranks, ZeRO, micro-batches and ordered reduction; a checkpoint goes from either kind of run to
// the other.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/kernels/cpu/cpu_kernels.h"
#include "dist/plan.h"
#include "tests/dist/rank_bytes.h"
#include "tests/dist/run_checkpoint.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

StepGraphOptions options_of(OptimizerKind optimizer, bool keep) {
  LayoutSetting setting{"", "R+V", "D+FR", Structure::kEncoderDecoder, optimizer, 0.1};
  setting.bfloat16 = true;
  StepGraphOptions options = layout_options(setting, DType::kFloat32);
  options.keep_casts = keep;
  return options;
}

std::vector<RankBytes> train(const StepGraphOptions& options, const Mesh2d& mesh) {
  return train_bytes(options, mesh, [&](const RankRun& run) {
    EXPECT_EQ(run.step.state().derived().empty(), !options.keep_casts);
    const StepPlan plan =
        plan_step(run.step.graphs(), CpuKernelTable(1, nullptr, best_isa(), mesh.leaves > 0), run.mesh.shape());
    EXPECT_EQ(plan.state(), run.step.state().bytes());
    EXPECT_EQ(plan.arena, run.step.program().arena_bytes());
  });
}

class KeptCastsOnMeshes : public testing::TestWithParam<OptimizerKind> {};

TEST_P(KeptCastsOnMeshes, GiveTheSameBits) {
  for (const Mesh2d& mesh : kVariousMeshes) {
    SCOPED_TRACE(text(mesh));
    expect_same_bytes(train(options_of(GetParam(), true), mesh), train(options_of(GetParam(), false), mesh));
  }
}

TEST_P(KeptCastsOnMeshes, FollowACheckpoint) {
  const TemporaryFolder root;
  for (const Mesh2d& mesh : {Mesh2d{1, 2}, Mesh2d{2, 2, 2, /*zero=*/2}}) {
    SCOPED_TRACE(text(mesh));
    const auto folder = root / text(mesh);
    std::vector<std::string> expected;  // of a run that never stopped
    on_mesh(options_of(GetParam(), true), default_layout(), mesh, [&](RankRun& run) {
      run.train(0, 2);
      save(run, folder / "half", 2);
      run.train(2, 2);
      const auto written = save(run, folder / "whole", 4);
      if (run.mesh.rank() == 0) expected = checksums(written);
    });
    for (const bool keep : {true, false})
      on_mesh(options_of(GetParam(), keep), default_layout(), mesh, [&](RankRun& run) {
        load(run, folder / "half");
        run.train(2, 2);
        EXPECT_EQ(checksums(save(run, folder / fmt::format("resumed_{}", keep), 4)), expected);
      });
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, KeptCastsOnMeshes,
                         testing::Values(OptimizerKind::kAdamW, OptimizerKind::kAdafactor));

}  // namespace
}  // namespace synthesizer
