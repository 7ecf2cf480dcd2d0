#include "data/verify.h"

#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "data/corpus.h"

namespace synthesizer {
namespace {

// Walks the tokens of a shard chunk by chunk, each read and checked once.
class TokenWalk {
 public:
  TokenWalk(ShardReader& shard, int32_t pieces)
      : shard_(shard), pieces_(pieces), buffer_(static_cast<size_t>(shard.chunk_tokens())) {}

  // Token `index`; indices never go back by more than the chunk that is held.
  int32_t at(int64_t index) {
    while (index >= end_) load();
    CHECK(index >= begin_, "token {} was passed", index);
    return buffer_[static_cast<size_t>(index - begin_)];
  }
  void to_end() {
    while (end_ < shard_.tokens()) load();
  }

 private:
  void load() {
    begin_ = end_;
    end_ = std::min(begin_ + shard_.chunk_tokens(), shard_.tokens());
    const std::span<int32_t> part(buffer_.data(), static_cast<size_t>(end_ - begin_));
    shard_.read_tokens(begin_, part);
    for (size_t i = 0; i < part.size(); ++i) {
      if (part[i] < pieces_) continue;
      fail_usage("altered shard {}: token {} of {} is {}, but the tokenizer has {} pieces", shard_.path().string(),
                 begin_ + static_cast<int64_t>(i), kTokensName, part[i], pieces_);
    }
  }

  ShardReader& shard_;
  int32_t pieces_;
  std::vector<int32_t> buffer_;
  int64_t begin_ = 0;
  int64_t end_ = 0;
};

}  // namespace

void verify_documents(ShardReader& shard, const Vocabulary& vocabulary) {
  const std::string name = shard.path().string();
  TokenWalk tokens(shard, vocabulary.pieces);
  std::vector<uint64_t> offsets(static_cast<size_t>(shard.chunk_offsets()));
  uint64_t last = 0;
  for (int64_t begin = 0; begin <= shard.documents(); begin += shard.chunk_offsets()) {
    const int64_t count = std::min(shard.chunk_offsets(), shard.documents() + 1 - begin);
    shard.read_offsets(begin, std::span(offsets).first(static_cast<size_t>(count)));
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t offset = offsets[static_cast<size_t>(i)];
      const int64_t index = begin + i;
      // Each document holds at least its eos.
      const bool right = index == 0 ? offset == 0 : offset > last;
      if (!right || offset > static_cast<uint64_t>(shard.tokens())) {
        fail_usage("altered shard {}: element {} of {} is {}, after {}, of {} tokens", name, index, kDocumentsName,
                   offset, last, shard.tokens());
      }
      if (index > 0 && tokens.at(static_cast<int64_t>(offset) - 1) != vocabulary.eos) {
        fail_usage("altered shard {}: document {} ends at token {} without eos", name, index - 1, offset);
      }
      last = offset;
    }
  }
  tokens.to_end();
  if (last != static_cast<uint64_t>(shard.tokens())) {
    fail_usage("altered shard {}: the last document ends at token {} of {}", name, last, shard.tokens());
  }
}

VerifyReport verify_shards(const std::filesystem::path& folder,
                           const std::function<void(int64_t shard, int64_t shards)>& progress) {
  const Corpus corpus(folder);  // members, sizes, counts, attributes, tokenizer
  const std::vector<ShardRecord>& shards = corpus.manifest().shards;
  VerifyReport report{
      .shards = static_cast<int64_t>(shards.size()), .documents = corpus.documents(), .tokens = corpus.tokens()};
  for (size_t i = 0; i < shards.size(); ++i) {
    if (progress) progress(static_cast<int64_t>(i), report.shards);
    ShardReader reader(folder / shards[i].file, 0);
    verify_documents(reader, corpus.tokenizer().vocabulary());
    // Last, as it cannot say where: what no read comes across, and bytes that a filter forgives.
    if (const uint64_t got = xxh3_of_file(folder / shards[i].file); got != shards[i].xxh3) {
      fail_usage(
          "altered shard {}: got XXH3 {:016x}, {} has {:016x}; its tokens and documents read well, other bytes differ",
          (folder / shards[i].file).string(), got, kManifestFile, shards[i].xxh3);
    }
    report.bytes += shards[i].bytes;
  }
  return report;
}

}  // namespace synthesizer
