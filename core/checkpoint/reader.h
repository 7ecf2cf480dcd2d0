// Reads checkpoints, whatever the number of ranks, the layout and the precision that wrote them; finds the newest that
// can be trusted.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/slice.h"
#include "core/checkpoint/state.h"
#include "core/graph/communicator.h"

namespace synthesizer {

class CheckpointReader {
 public:
  // `folder` is one checkpoint (…/checkpoints/step_00001000). Checks everything but the tensors' bytes: UsageError
  // naming file and tensor if something is torn, altered or missing.
  explicit CheckpointReader(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const CheckpointState& state() const { return state_; }
  const SafetensorsReader& file(CheckpointPart part) const { return files_.at(static_cast<size_t>(part)); }
  // As state.json has it, of a tensor that is there.
  uint64_t checksum(CheckpointPart part, const std::string& tensor) const;

  // Collective: every byte of every tensor against its checksum, shared among the ranks. UsageError on all ranks,
  // naming the first altered tensor and its file.
  void verify(Communicator& world) const;

  // UsageError unless the file holds exactly these tensors with these shapes; names all that are missing, left over or
  // of another shape. Floating-point types may differ, others not.
  void expect(CheckpointPart part, std::span<const TensorBox> boxes) const;

  // The box's elements into `out`, converted to its dtype among f32, f64 and bf16 (f64 to f32 rounds to nearest).
  // UsageError naming the tensor if it is missing, of another shape or not convertible.
  void read(CheckpointPart part, const TensorBox& box, void* out) const;

 private:
  std::filesystem::path folder_;
  CheckpointState state_;
  CheckpointChecksums checksums_;
  std::vector<SafetensorsReader> files_;
};

struct NewestCheckpoint {
  std::optional<std::filesystem::path> folder;  // nothing: there is none that is whole
  std::vector<std::string> refused;             // one line for each newer one that was not used: which, and why
};

// Collective: the newest checkpoint of a run's checkpoints/ folder that is whole, every checksum verified. A folder
// that is not there has none.
NewestCheckpoint find_newest_checkpoint(const std::filesystem::path& checkpoints, Communicator& world);

}  // namespace synthesizer
