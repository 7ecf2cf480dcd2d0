// `data verify`: everything about a folder of shards that opening it does not check: each file's XXH3, every chunk's
// checksum, offsets, token range, counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "data/shard_reader.h"
#include "data/vocabulary.h"

namespace synthesizer {

struct VerifyReport {
  int64_t shards = 0;
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t bytes = 0;
};

// Shards in order; throws UsageError naming the first bad place: file, data set, chunk or element.
VerifyReport verify_shards(const std::filesystem::path& folder,
                           const std::function<void(int64_t shard, int64_t shards)>& progress = {});

// What verify_shards says of one open shard: every token and offset read, each document ended by its eos.
void verify_documents(ShardReader& shard, const Vocabulary& vocabulary);

}  // namespace synthesizer
