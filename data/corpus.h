// A folder of shards as one stream of tokens. Opening checks what is cheap (members, counts, sizes, attributes, the
// tokenizer, each file's head); reading checks each chunk (Fletcher-32) and each token's range; data/verify checks
// everything.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "data/manifest.h"
#include "data/shard_reader.h"
#include "data/tokenizer.h"

namespace synthesizer {

// A part of a corpus' documents, as a range of its tokens.
struct CorpusRange {
  int64_t begin = 0;  // tokens
  int64_t end = 0;
  int64_t documents = 0;
  int64_t tokens() const { return end - begin; }
};

// Thread-safe only as HDF5 is: one thread at a time reads through one Corpus.
class Corpus {
 public:
  // UsageError naming the file: no folder, build not finished, member missing, altered shard, shard of another
  // tokenizer.
  explicit Corpus(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const Manifest& manifest() const { return manifest_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  int64_t tokens() const { return token_starts_.back(); }
  int64_t documents() const { return document_starts_.back(); }

  // Tokens [begin, begin + out.size()) of the stream. UsageError naming shard and chunk if what is there is damaged.
  void read(int64_t begin, std::span<int32_t> out);
  // Where document `index` begins in the stream; tokens() for index == documents().
  int64_t document_begin(int64_t index);

  CorpusRange all() const { return {0, tokens(), documents()}; }
  // Documents [begin, end).
  CorpusRange document_range(int64_t begin, int64_t end);

 private:
  ShardReader& shard(size_t index);

  std::filesystem::path folder_;
  Manifest manifest_;
  Tokenizer tokenizer_;
  std::vector<int64_t> token_starts_;     // of each shard, and the total
  std::vector<int64_t> document_starts_;  // the same
  struct OpenShard {
    std::unique_ptr<ShardReader> reader;
    int64_t last_use = 0;
  };
  std::vector<OpenShard> shards_;
  int64_t uses_ = 0;
  size_t open_ = 0;
};

// The last 1% of the documents, at least one, are for validation where a run names no folder for that.
struct CorpusSplit {
  CorpusRange training;
  CorpusRange validation;
};
// UsageError for a corpus of one document.
CorpusSplit split_corpus(Corpus& corpus);

}  // namespace synthesizer
