// Reads one shard (data/shard_format.h). Every chunk read is checked by HDF5 (Fletcher-32).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/hdf5_handle.h"
#include "data/shard_format.h"

namespace synthesizer {

class ShardReader {
 public:
  // UsageError naming the file and what is wrong with it: no HDF5 file, no shard, another version, a member missing or
  // of another type. `cache_bytes`: memory for chunks of tokens that were read.
  ShardReader(const std::filesystem::path& path, int64_t cache_bytes);

  const std::filesystem::path& path() const { return path_; }
  const ShardAttributes& attributes() const { return attributes_; }
  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return documents_; }
  // What h5dump would say, in short: "/tokens" -> "uint16, 1234 elements, chunks of 524288, deflate, fletcher32".
  std::vector<std::pair<std::string, std::string>> describe() const;

  // Elements of a chunk.
  int64_t chunk_tokens() const { return chunk_tokens_; }
  int64_t chunk_offsets() const { return chunk_offsets_; }
  // Bytes of the file before the first chunk: names, attributes, where chunks are.
  int64_t head_bytes() const;

  // Tokens [begin, begin + out.size()). UsageError naming the chunk where the checksum does not match and the place of
  // a token that is not below vocab_size.
  void read_tokens(int64_t begin, std::span<int32_t> out);
  // Offsets [begin, begin + out.size()) of the documents() + 1.
  void read_offsets(int64_t begin, std::span<uint64_t> out);

 private:
  std::filesystem::path path_;
  Hdf5Handle file_;
  Hdf5Handle tokens_set_;
  Hdf5Handle documents_set_;
  ShardAttributes attributes_;
  int64_t tokens_ = 0;
  int64_t documents_ = 0;
  int64_t chunk_tokens_ = 0;
  int64_t chunk_offsets_ = 0;
};

}  // namespace synthesizer
