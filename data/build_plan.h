// What a build is of, and how its documents are cut into shards. The plan is kept in the output folder until the build
// is finished, so that the same command goes on with it and another is refused.
//
// The cut is by document count: shard k of N holds documents [k D / N, (k + 1) D / N) of the D in input order. Where N
// is not given it follows from an estimate of the tokens, the bytes of all texts times the tokens a byte of every 64th
// document of each file: the same on every machine, and close to kTokensPerShard a shard without tokenizing everything
// twice.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/builder.h"
#include "data/tokenizer.h"

namespace synthesizer {

// What the first pass finds in a file.
struct FileCount {
  int64_t documents = 0;
  int64_t text_bytes = 0;
  int64_t sampled_bytes = 0;   // of every 64th document
  int64_t sampled_tokens = 0;  // of the same, eos included
};

struct BuildPlan {
  std::string identity;  // JSON: input names and sizes, tokenizer, options; the same for the same build anywhere
  std::vector<std::string>
      stamps;  // of each input file: path, size and time of change, so that altered input is noticed
  std::vector<FileCount> counts;
  int64_t shards = 0;

  int64_t documents() const;
  // The first document of a shard; documents() for shards.
  int64_t shard_begin(int64_t shard) const;
  // The file that holds a document, and its number there.
  std::pair<size_t, int64_t> locate(int64_t document) const;
};

std::string build_identity(const BuildOptions& options, const std::vector<std::filesystem::path>& files,
                           const Tokenizer& tokenizer);
std::vector<std::string> file_stamps(const std::vector<std::filesystem::path>& files);

// Reads and checks one file. `documents_done` hears of the documents of each batch.
FileCount count_documents(const std::filesystem::path& file, const BuildOptions& options, const Tokenizer& tokenizer,
                          int threads, const std::function<void(int64_t documents)>& documents_done);

// How many shards: options.shards, or by the estimate. UsageError: no text, more shards than documents.
int64_t choose_shards(const BuildOptions& options, const std::vector<FileCount>& counts);

std::string to_text(const std::vector<FileCount>& counts);
std::vector<FileCount> counts_from_text(const std::string& text);
std::string to_text(const BuildPlan& plan);
BuildPlan plan_from_text(const std::string& text);

}  // namespace synthesizer
