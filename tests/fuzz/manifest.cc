// manifest.json of a folder of shards, and the look at the shards' bytes that it asks for: sizes, the head's XXH3 and
// tokenizer, all before HDF5 opens one.
#include "data/manifest.h"

#include "tests/fuzz/fuzz.h"

using namespace synthesizer;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Some bytes for the names and lengths in the corpus to meet.
  static const std::filesystem::path shard_file = fuzz::write_here(shard_file_name(0), std::string(4096, 's'));
  fuzz::write_here(kManifestFile, fuzz::text_of(data, size));
  Manifest manifest;
  if (!fuzz::accepts([&] { manifest = read_manifest(fuzz::folder().path()); })) return 0;
  for (const ShardRecord& shard : manifest.shards) {
    fuzz::hold(std::filesystem::path(shard.file).filename() == shard.file, "a shard lies in the manifest's folder");
    fuzz::accepts([&] { check_shard_file(fuzz::folder().path(), shard, manifest.tokenizer_sha256); });
  }
  return 0;
}
