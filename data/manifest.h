// manifest.json: the list of a folder's shards, written last. Until it is there the build is not finished.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace synthesizer {

struct ShardRecord {
  std::string file;  // "part-00000.h5"
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t bytes = 0;
  uint64_t xxh3 = 0;  // XXH3-64 of the file
  // The same of what lies before the first chunk, checked before HDF5 is let near the file: its strings are the one
  // kind of metadata without a checksum, and HDF5 1.10 crashes on some that are altered.
  int64_t head_bytes = 0;
  uint64_t head_xxh3 = 0;
  bool operator==(const ShardRecord&) const = default;
};

struct Manifest {
  int32_t vocab_size = 0;  // rows of a model's embedding: pieces and sentinels, padded
  int32_t eos_id = 0;
  std::string tokenizer_sha256;
  std::vector<ShardRecord> shards;
  std::string build;  // what was built from what (data/build_plan.h), JSON
};

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kTokenizerFile = "tokenizer.model";

// "part-00042.h5"
std::string shard_file_name(int64_t index);

void write_manifest(const std::filesystem::path& folder, const Manifest& manifest);
// UsageError naming the file: missing (the build is not finished), broken, another version.
Manifest read_manifest(const std::filesystem::path& folder);

// UsageError naming the shard: missing, of another tokenizer, of another size, its head altered. Reads the head alone,
// as bytes.
void check_shard_file(const std::filesystem::path& folder, const ShardRecord& record,
                      const std::string& tokenizer_sha256);

// XXH3-64 of a file's bytes, or of its first `limit`.
uint64_t xxh3_of_file(const std::filesystem::path& path, int64_t limit = std::numeric_limits<int64_t>::max());

}  // namespace synthesizer
