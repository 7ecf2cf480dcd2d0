// A checkpoint goes anywhere: saved on one mesh, loaded on another, every element of parameters and optimizer state is
// the same, bit by bit, and training goes on as it would have.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "core/checkpoint/state_slices.h"
#include "core/checkpoint/writer.h"
#include "tests/dist/layout_run.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

constexpr Mesh2d kPlaces[] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {1, 4}, {4, 1, 1, 1}, {2, 2, 2, 2}};

StepGraphOptions options() {
  return layout_options({"", "R+V", "D+FR", Structure::kEncoderDecoder, OptimizerKind::kAdamW}, DType::kFloat32);
}

void save(RankRun& run, const fs::path& folder, int64_t step) {
  CheckpointWriter writer({folder, 1, 0}, run.mesh.world());
  CheckpointState state;
  state.step = step;
  const StateStore& store = run.step.state();
  writer.begin(state, slices_to_write(store, CheckpointPart::kModel),
               slices_to_write(store, CheckpointPart::kOptimizer));
  writer.finish();
}

fs::path newest(const fs::path& folder, Communicator& world) {
  const NewestCheckpoint found = find_newest_checkpoint(folder, world);
  EXPECT_TRUE(found.folder && found.refused.empty());
  return found.folder.value();
}

void load(RankRun& run, const fs::path& folder) {
  const CheckpointReader reader(newest(folder, run.mesh.world()));
  for (const CheckpointPart part : kCheckpointParts) read_state(reader, run.step.state(), part);
}

// Every tensor's name and checksum, which does not depend on who wrote it.
std::vector<std::string> checksums(const fs::path& checkpoint) {
  const CheckpointReader reader(checkpoint);
  std::vector<std::string> lines;
  for (const CheckpointPart part : kCheckpointParts)
    for (const StoredTensor& tensor : reader.file(part).tensors())
      lines.push_back(fmt::format("{} {:016x}", tensor.name, reader.checksum(part, tensor.name)));
  return lines;
}

TEST(CheckpointLayouts, SavedOnAnyMeshLoadedOnAnyMesh) {
  const fs::path root = fs::path(testing::TempDir()) / "checkpoint_layouts";
  fs::remove_all(root);
  const WholeRun whole = train_whole(options(), 4);
  for (const Mesh2d& from : kPlaces) {
    const fs::path saved = root / text(from);
    std::vector<std::string> expected;
    on_mesh(options(), default_layout(), from, [&](RankRun& run) {
      run.train(0, 2);
      save(run, saved, 2);
      const fs::path written = newest(saved, run.mesh.world());
      if (run.mesh.rank() == 0) expected = checksums(written);
    });
    ASSERT_GT(expected.size(), 100u);
    for (const Mesh2d& to : kPlaces) {
      SCOPED_TRACE(fmt::format("saved on {}, loaded on {}", text(from), text(to)));
      const fs::path again = root / (text(from) + "_" + text(to));
      on_mesh(options(), default_layout(), to, [&](RankRun& run) {
        load(run, saved);
        save(run, again, 2);
        const fs::path copy = newest(again, run.mesh.world());
        EXPECT_EQ(checksums(copy), expected);
        run.train(2, 2);
        for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(run.results[i].loss, whole.results[2 + i].loss, 1e-4);
        for (const StateTensor& tensor : run.step.state().tensors())
          EXPECT_LE(distance(tensor, whole.state.at(tensor.name)), 1e-3) << tensor.name;
      });
    }
  }
  fs::remove_all(root);
}

}  // namespace
}  // namespace synthesizer
