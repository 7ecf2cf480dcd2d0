// Checksums of a checkpoint's files, shared among ranks: the files are cut into blocks, each rank hashes every size-th
// of them, and the blocks' hashes are combined to one a tensor. The result does not depend on the number of ranks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/state.h"

namespace synthesizer {

class ChecksumPlan {
 public:
  // The bytes before the data, then the tensors, as they lie in the file.
  void add_file(CheckpointPart part, int64_t header_bytes, std::span<const StoredTensor> tensors);

  // One number a block, 0 for the blocks of other ranks: summed over the ranks, combine() takes them. Reads the files,
  // by `read` or in the folder.
  using Read = std::function<void(CheckpointPart part, int64_t offset, void* out, int64_t bytes)>;
  std::vector<int64_t> hash_share(const Read& read, int rank, int size) const;
  std::vector<int64_t> hash_share(const std::filesystem::path& folder, int rank, int size) const;
  CheckpointChecksums combine(std::span<const int64_t> hashes) const;

 private:
  struct Piece {
    CheckpointPart part;
    std::string tensor;  // empty: the header
    int64_t begin;
    int64_t end;
  };
  std::vector<Piece> pieces_;
};

}  // namespace synthesizer
