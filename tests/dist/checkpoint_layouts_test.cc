// A checkpoint goes anywhere: saved on one mesh, loaded on another, every element of parameters and optimizer state is
// the same, bit by bit, and training goes on as it would have.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "tests/dist/layout_run.h"
#include "tests/dist/run_checkpoint.h"
#include "tests/support/temporary_folder.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

constexpr Mesh2d kPlaces[] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {1, 4}, {4, 1, 1, 1}, {2, 2, 2, 2}};

StepGraphOptions options() {
  return layout_options({"", "R+V", "D+FR", Structure::kEncoderDecoder, OptimizerKind::kAdamW}, DType::kFloat32);
}

TEST(CheckpointLayouts, SavedOnAnyMeshLoadedOnAnyMesh) {
  const TemporaryFolder root;
  // AdamW divides by the root of few squares in its first steps: what rounding leaves of a gradient of nearly 0 counts
  // as much as any other, so that large steps would show nothing but that.
  constexpr double kLearningRate = 1e-3;
  const WholeRun whole = train_whole(options(), 4, kLearningRate);
  for (const Mesh2d& from : kPlaces) {
    const fs::path saved = root / text(from);
    std::vector<std::string> expected;
    on_mesh(options(), default_layout(), from, [&](RankRun& run) {
      run.learning_rate = kLearningRate;
      run.train(0, 2);
      const fs::path written = save(run, saved, 2);
      if (run.mesh.rank() == 0) expected = checksums(written);
    });
    ASSERT_GT(expected.size(), 100u);
    for (const Mesh2d& to : kPlaces) {
      SCOPED_TRACE(fmt::format("saved on {}, loaded on {}", text(from), text(to)));
      const fs::path again = root / (text(from) + "_" + text(to));
      on_mesh(options(), default_layout(), to, [&](RankRun& run) {
        load(run, saved);
        EXPECT_EQ(checksums(save(run, again, 2)), expected);
        run.learning_rate = kLearningRate;
        run.train(2, 2);
        for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(run.results[i].loss, whole.results[2 + i].loss, 1e-4);
        for (const StateTensor& tensor : run.step.state().tensors())
          EXPECT_LE(distance(tensor, whole.state.at(tensor.name)), 1e-3) << tensor.name;
      });
    }
  }
}

}  // namespace
}  // namespace synthesizer
