// Weights' bf16 copies on meshes: a rank has those of its own blocks, and trains to the same bits as without them,
// under tensor and data ranks, ZeRO, micro-batches and ordered reduction; a checkpoint goes from either kind of run to
// the other.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <mutex>

#include "core/kernels/cpu/cpu_kernels.h"
#include "dist/plan.h"
#include "tests/dist/layout_run.h"
#include "tests/dist/run_checkpoint.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

constexpr Mesh2d kMeshes[] = {{2, 1},
                              {1, 2},
                              {2, 2, /*micro_batches=*/2},
                              {2, 1, 1, /*zero=*/1},
                              {2, 2, 2, /*zero=*/2},
                              {2, 1, 1, 0, /*leaves=*/4},
                              {2, 1, 1, 2, /*leaves=*/4},
                              {2, 1, 1, 1, 0, 1, Wire::kBFloat16}};

StepGraphOptions options_of(OptimizerKind optimizer, bool keep) {
  LayoutSetting setting{"", "R+V", "D+FR", Structure::kEncoderDecoder, optimizer, 0.1};
  setting.bfloat16 = true;
  StepGraphOptions options = layout_options(setting, DType::kFloat32);
  options.keep_casts = keep;
  return options;
}

// By rank and name; the losses under "".
using Bytes = std::map<std::string, std::string>;

Bytes bytes_of(RankRun& run) {
  Bytes bytes;
  for (const StateTensor& tensor : run.step.state().tensors())
    bytes[tensor.name].assign(reinterpret_cast<const char*>(tensor.data), static_cast<size_t>(tensor.type.bytes()));
  for (const StepResult& result : run.results)
    bytes[""] += fmt::format("{:a} {:a}\n", result.loss, result.gradient_norm);
  return bytes;
}

std::vector<Bytes> train(const StepGraphOptions& options, Mesh2d mesh) {
  std::vector<Bytes> ranks(static_cast<size_t>(mesh.data * mesh.tensor));
  std::mutex mutex;
  on_mesh(options, default_layout(), mesh, [&](RankRun& run) {
    EXPECT_EQ(run.step.state().derived().empty(), !options.keep_casts);
    const StepPlan plan =
        plan_step(run.step.graphs(), CpuKernelTable(1, nullptr, best_isa(), mesh.leaves > 0), run.mesh.shape());
    EXPECT_EQ(plan.state(), run.step.state().bytes());
    EXPECT_EQ(plan.arena, run.step.program().arena_bytes());
    run.train(0, 3);
    const std::scoped_lock lock(mutex);
    ranks[static_cast<size_t>(run.mesh.rank())] = bytes_of(run);
  });
  return ranks;
}

class KeptCastsOnMeshes : public testing::TestWithParam<OptimizerKind> {};

TEST_P(KeptCastsOnMeshes, GiveTheSameBits) {
  for (const Mesh2d& mesh : kMeshes) {
    SCOPED_TRACE(text(mesh));
    const std::vector<Bytes> expected = train(options_of(GetParam(), false), mesh);
    const std::vector<Bytes> got = train(options_of(GetParam(), true), mesh);
    for (size_t rank = 0; rank < expected.size(); ++rank) {
      ASSERT_GT(expected[rank].size(), 40u);
      ASSERT_EQ(got[rank].size(), expected[rank].size());
      for (const auto& [name, bytes] : expected[rank])
        EXPECT_TRUE(got[rank].at(name) == bytes) << "rank " << rank << ": " << name << " differs";
    }
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
