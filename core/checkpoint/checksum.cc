#include "core/checkpoint/checksum.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/base/error.h"
#include "core/base/hash.h"

namespace synthesizer {
namespace {

uint64_t hash_bytes(const void* data, int64_t bytes) {
  return hash_name({static_cast<const char*>(data), static_cast<size_t>(bytes)});
}

size_t block_count(int64_t bytes) { return static_cast<size_t>((bytes + kChecksumBlock - 1) / kChecksumBlock); }

}  // namespace

void ChecksumPlan::add_file(CheckpointPart part, int64_t header_bytes, std::span<const StoredTensor> tensors) {
  pieces_.push_back({part, "", 0, header_bytes});
  for (const StoredTensor& tensor : tensors) pieces_.push_back({part, tensor.name, tensor.begin, tensor.end});
}

std::vector<int64_t> ChecksumPlan::hash_share(const std::filesystem::path& folder, int rank, int size) const {
  std::vector<File> files;
  for (const CheckpointPart part : kCheckpointParts) files.emplace_back(folder / file_name(part), O_RDONLY);
  const auto read = [&](CheckpointPart part, int64_t offset, void* out, int64_t bytes) {
    files[static_cast<size_t>(part)].read_at(offset, out, bytes);
  };
  return hash_share(read, rank, size);
}

std::vector<int64_t> ChecksumPlan::hash_share(const Read& read, int rank, int size) const {
  int64_t largest = 0;
  for (const Piece& piece : pieces_) largest = std::max(largest, piece.end - piece.begin);
  std::vector<char> buffer(static_cast<size_t>(std::min(largest, kChecksumBlock)));
  std::vector<int64_t> hashes;
  for (const Piece& piece : pieces_) {
    for (int64_t begin = piece.begin; begin < piece.end; begin += kChecksumBlock) {
      hashes.push_back(0);
      if ((hashes.size() - 1) % static_cast<size_t>(size) != static_cast<size_t>(rank)) continue;
      const int64_t bytes = std::min(kChecksumBlock, piece.end - begin);
      read(piece.part, begin, buffer.data(), bytes);
      hashes.back() = static_cast<int64_t>(hash_bytes(buffer.data(), bytes));
    }
  }
  return hashes;
}

CheckpointChecksums ChecksumPlan::combine(std::span<const int64_t> hashes) const {
  CheckpointChecksums checksums;
  size_t next = 0;
  for (const Piece& piece : pieces_) {
    const size_t blocks = block_count(piece.end - piece.begin);
    CHECK(next + blocks <= hashes.size(), "{} block hashes", hashes.size());
    const uint64_t sum = hash_bytes(hashes.data() + next, static_cast<int64_t>(blocks * sizeof(int64_t)));
    next += blocks;
    FileChecksums& of_file = checksums[piece.part];
    (piece.tensor.empty() ? of_file.header : of_file.tensors[piece.tensor]) = sum;
  }
  CHECK(next == hashes.size(), "{} block hashes, {} used", hashes.size(), next);
  return checksums;
}

}  // namespace synthesizer
