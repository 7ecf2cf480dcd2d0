// The shard format, version 1: an HDF5 file (format 1.10, every metadata block with its own checksum) of
//   /tokens     uint16 (uint32 for vocabularies above 65536), 1-D: the documents one after the other, an eos after each
//   /documents  uint64, 1-D, n + 1 offsets into /tokens: document i is tokens [offset i, offset i+1), its eos included
// both in chunks of 1 MiB with Fletcher-32 checksums, optionally deflated, and of root attributes (ShardAttributes).
#pragma once

#include <cstdint>
#include <string>

namespace synthesizer {

inline constexpr const char* kShardFormat = "synthesizer.shard";
inline constexpr int64_t kShardVersion = 1;
inline constexpr int64_t kShardChunkBytes = 1 << 20;
inline constexpr int kDeflateLevel = 1;
inline constexpr const char* kTokensName = "/tokens";
inline constexpr const char* kDocumentsName = "/documents";

struct ShardAttributes {
  int64_t vocab_size = 0;  // rows of a model's embedding (data/vocabulary.h); every token is below
  int64_t eos_id = 0;
  std::string tokenizer_sha256;
  std::string source;  // names of the input files and which documents of them
  bool operator==(const ShardAttributes&) const = default;
};

// Bytes of a token: 2 or 4.
constexpr int64_t token_bytes(int64_t vocab_size) { return vocab_size <= 65536 ? 2 : 4; }

}  // namespace synthesizer
