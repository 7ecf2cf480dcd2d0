// `data build`: text to HDF5 shards, by many threads and ranks, in bounded memory. A first pass counts and checks every
// document and plans the cut; a second one writes the shards, each whole or not at all, so that a build that was killed
// goes on with what is there. The bytes depend on the input, the tokenizer and the options alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/document_source.h"

namespace synthesizer {

struct BuildOptions {
  std::vector<std::string> inputs;  // patterns
  std::filesystem::path tokenizer;
  std::filesystem::path output;
  int64_t shards = 0;     // 0: as many as give each about kTokensPerShard
  bool compress = false;  // deflate; reads become slower
  SourceOptions source;
  int threads = 0;  // 0: as many as the machine has
};

inline constexpr int64_t kTokensPerShard = int64_t{64} << 20;

// The ranks that build together. `barrier` returns when all have called it; ranks share the output folder.
struct BuildRanks {
  int rank = 0;
  int world = 1;
  std::function<void()> barrier = [] {};
};

// What is going on, on this rank; called on the calling thread, often: whoever prints chooses what to show.
struct BuildProgress {
  std::string_view stage;     // "counting", "building"
  int64_t documents = 0;      // done in this stage by this rank
  int64_t all_documents = 0;  // of this rank in this stage; 0: not known
  int64_t tokens = 0;
  int64_t shards = 0;
  int64_t all_shards = 0;
};

struct BuildReport {
  int64_t documents = 0;  // of all shards
  int64_t tokens = 0;
  int64_t shards = 0;
  int64_t bytes = 0;
  int64_t kept_shards = 0;        // that an earlier, interrupted build had written
  bool already_finished = false;  // nothing was left to do
};

// Complete on rank 0; on others the totals are 0. UsageError (before anything is written): wrong input or tokenizer, no
// text, more shards than documents, a folder that holds another build.
BuildReport build_shards(const BuildOptions& options, const BuildRanks& ranks = {},
                         const std::function<void(const BuildProgress&)>& progress = {});

}  // namespace synthesizer
