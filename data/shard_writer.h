// Writes one shard (data/shard_format.h): documents in order, streamed; under a temporary name until it is whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "data/hdf5_handle.h"
#include "data/shard_format.h"

namespace synthesizer {

// A 1-D data set that grows by whole chunks; equal contents give equal bytes.
class ChunkedWriter {
 public:
  ChunkedWriter(hid_t file, const char* name, hid_t file_type, hid_t memory_type, bool compress);

  // `count` elements of the memory type.
  void append(const void* elements, int64_t count);
  void finish();
  int64_t count() const { return written_ + static_cast<int64_t>(buffer_.size() / element_bytes_); }

 private:
  void flush();

  Hdf5Handle set_;
  hid_t memory_type_;
  size_t element_bytes_;
  std::vector<std::byte> buffer_;  // less than a chunk
  int64_t written_ = 0;
};

class ShardWriter {
 public:
  // Error if the file cannot be made.
  ShardWriter(const std::filesystem::path& path, const ShardAttributes& attributes, bool compress);

  // One document, its eos included. Error if a token is not in [0, vocab_size).
  void append_document(std::span<const int32_t> tokens);
  // Syncs the file and gives it its name.
  void finish();

  int64_t tokens() const { return tokens_.count(); }
  int64_t documents() const { return offsets_.count() - 1; }

 private:
  std::filesystem::path path_;
  ShardAttributes attributes_;
  Hdf5Handle file_;
  ChunkedWriter tokens_;
  ChunkedWriter offsets_;
  std::vector<uint16_t> narrow_;
};

}  // namespace synthesizer
