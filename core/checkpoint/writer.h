// Writes checkpoints while training goes on: a copy of the tensors is taken at a step boundary, a background thread
// writes this rank's slices into whole tensors, and all ranks commit together at a later step boundary. The bytes do
// not depend on the number of ranks. Killed at any moment, the folder still has its last committed checkpoint.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/checkpoint/folder.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/slice.h"
#include "core/checkpoint/state.h"
#include "core/graph/communicator.h"
#include "core/tensor/storage.h"

namespace synthesizer {

// All public calls but in_flight() and reserve() are collective and made by one thread. If one throws, it throws the
// same on all ranks; the checkpoint in work is given up and removed, those before it stay, and a later begin() starts
// afresh.
class CheckpointWriter {
 public:
  // Makes the folder, removes leftovers of a killed run. The communicator must outlive the writer.
  CheckpointWriter(CheckpointFolder folder, Communicator& world);
  // Waits for the background thread; what was not committed is left as a partial folder and never read.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Allocates the memory of copies of these slices, which the first begin() would else do between two steps. Not
  // collective.
  void reserve(std::span<const TensorSlice> model, std::span<const TensorSlice> optimizer);

  // Copies the slices (buffers are allocated once and used again) and starts writing. Waits for the checkpoint before,
  // if one is in work: at most one copy is held. All ranks give the same state and name the same tensors; every element
  // of every tensor has exactly one owner.
  void begin(const CheckpointState& state, std::span<const TensorSlice> model, std::span<const TensorSlice> optimizer);

  // At a step boundary: goes on with what all ranks have finished, without waiting for any disk. True if a checkpoint
  // was committed by this call.
  bool poll();

  // Waits until the checkpoint in work, if any, is committed and lasts.
  void finish();

  // The same on all ranks.
  bool in_flight() const { return stage_ != Stage::kIdle; }

 private:
  // Each but kIdle is work of the background threads; all ranks go on to the next together.
  enum class Stage { kIdle, kWriting, kHashing, kSealing, kSettling };
  struct CopiedSlice {
    TensorBox box;
    CheckpointPart part;
    const std::byte* data;
  };

  void copy_slices(std::span<const TensorSlice> model, std::span<const TensorSlice> optimizer);
  void check_owners(std::span<const TensorSlice> model, std::span<const TensorSlice> optimizer);
  void create_files();
  void write_slices();
  void hash_blocks();
  void seal();
  void settle();
  bool advance();
  void start(Stage stage, void (CheckpointWriter::*work)());
  void give_up();

  CheckpointFolder folder_;
  Communicator& world_;
  Stage stage_ = Stage::kIdle;
  CheckpointState state_;
  std::array<SafetensorsLayout, 2> layouts_;
  Storage copy_;
  std::vector<CopiedSlice> slices_;
  std::vector<int64_t> block_hashes_;
  std::thread background_;
  std::atomic<bool> background_done_{false};
  std::exception_ptr background_error_;
};

}  // namespace synthesizer
