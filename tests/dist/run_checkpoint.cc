#include "tests/dist/run_checkpoint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/checkpoint/state_slices.h"
#include "core/checkpoint/writer.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

fs::path newest(const fs::path& folder, Communicator& world) {
  const NewestCheckpoint found = find_newest_checkpoint(folder, world);
  EXPECT_TRUE(found.folder && found.refused.empty());
  return found.folder.value();
}

}  // namespace

fs::path save(RankRun& run, const fs::path& folder, int64_t step) {
  CheckpointWriter writer({folder, 1, 0}, run.mesh.world());
  CheckpointState state;
  state.step = step;
  const StateStore& store = run.step.state();
  writer.begin(state, slices_to_write(store, CheckpointPart::kModel),
               slices_to_write(store, CheckpointPart::kOptimizer));
  writer.finish();
  return newest(folder, run.mesh.world());
}

void load(RankRun& run, const fs::path& folder) {
  const CheckpointReader reader(newest(folder, run.mesh.world()));
  for (const CheckpointPart part : kCheckpointParts) read_state(reader, run.step.state(), part);
}

std::vector<std::string> checksums(const fs::path& checkpoint) {
  const CheckpointReader reader(checkpoint);
  std::vector<std::string> lines;
  for (const CheckpointPart part : kCheckpointParts)
    for (const StoredTensor& tensor : reader.file(part).tensors())
      lines.push_back(fmt::format("{} {:016x}", tensor.name, reader.checksum(part, tensor.name)));
  return lines;
}

}  // namespace synthesizer
