// `data inspect`: what a shard or a folder of them holds, and examples in text as a model will see them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "data/objective.h"

namespace synthesizer {

struct ShardsDescription {
  std::filesystem::path path;  // of the folder or file
  std::vector<std::pair<std::string, std::string>>
      schema;  // "/tokens" -> "uint16, chunks of 524288, Fletcher-32", attributes
  int64_t shards = 0;
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t bytes = 0;
  std::string tokenizer_sha256;
  int32_t pieces = 0;      // 0 where no tokenizer.model lies beside
  int32_t vocab_size = 0;  // rows of a model's embedding
  double tokens_per_document = 0;
};

// A folder, or one .h5 file. UsageError where it is neither or damaged.
ShardsDescription inspect_shards(const std::filesystem::path& folder_or_file);

struct ExampleText {
  std::string inputs;  // empty for a causal objective
  std::string targets;
};

// The first `count` examples of epoch 0 of a run with this objective and seed, padding left out; all there are if
// fewer. `held_out`: the run keeps the last 1% of the documents for validation (split_corpus).
std::vector<ExampleText> inspect_examples(const std::filesystem::path& folder, const ObjectiveOptions& objective,
                                          uint64_t seed, int64_t count, bool held_out = true);

}  // namespace synthesizer
