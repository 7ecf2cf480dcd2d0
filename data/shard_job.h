// One shard's part of a build: documents of the plan's files through the tokenizer into a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "data/build_plan.h"
#include "data/document_batches.h"
#include "data/manifest.h"
#include "data/shard_format.h"

namespace synthesizer {

// What all shards of a build share.
struct ShardJobContext {
  const BuildOptions& options;
  const std::vector<std::filesystem::path>& files;
  const Tokenizer& tokenizer;
  const BuildPlan& plan;
  int threads = 1;
};

// Documents and tokens more than at the last call.
using ShardJobProgress = std::function<void(int64_t documents, int64_t tokens)>;

// Of shard `index`; `source` names the files and which documents of each ("a.json.gz[0:100] b.json.gz[0:7]").
ShardAttributes shard_attributes(const ShardJobContext& context, int64_t index);

// Writes the shard under its name, whole or not at all. `cursor` is where the last shard of this rank ended.
ShardRecord write_shard(const ShardJobContext& context, int64_t index, DocumentCursor& cursor,
                        const ShardJobProgress& progress);

// The record of a shard that an earlier run has written. UsageError if it is not what this build would write.
ShardRecord check_written_shard(const ShardJobContext& context, int64_t index);

}  // namespace synthesizer
