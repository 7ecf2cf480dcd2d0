#include "data/corpus.h"

#include <algorithm>
#include <limits>
#include <set>

#include "core/base/error.h"

namespace synthesizer {
namespace {

// Memory for chunks that were read, over all shards that are open. A window that lies in a chunk kept there costs 15
// us, one that does not 140 and more.
constexpr int64_t kCacheBytes = int64_t{256} << 20;
constexpr size_t kLargestOpen = 64;

void check_shard(const ShardReader& shard, const ShardRecord& record, const Manifest& manifest) {
  const std::string name = shard.path().string();
  const ShardAttributes& attributes = shard.attributes();
  const auto expect = [&](const char* what, int64_t got, int64_t expected) {
    if (got != expected) fail_usage("altered shard {}: got {} {}, expected {}", name, what, got, expected);
  };
  // That its tokenizer is the right one was seen before it was opened.
  expect("vocab_size", attributes.vocab_size, manifest.vocab_size);
  expect("eos_id", attributes.eos_id, manifest.eos_id);
  expect("documents", shard.documents(), record.documents);
  expect("tokens", shard.tokens(), record.tokens);
}

// Every shard of the folder is in the manifest, which lists each once (read_manifest).
void check_folder(const std::filesystem::path& folder, const Manifest& manifest) {
  std::set<std::string> listed;
  for (const ShardRecord& record : manifest.shards) listed.insert(record.file);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("part-") && name.ends_with(".h5") && !listed.contains(name))
      fail_usage("shard {} is not in {}: it is of another build. Remove it, or build the folder again",
                 entry.path().string(), kManifestFile);
  }
}

Tokenizer open_tokenizer(const std::filesystem::path& folder, const Manifest& manifest) {
  Tokenizer tokenizer(folder / kTokenizerFile);
  if (tokenizer.sha256() != manifest.tokenizer_sha256) {
    fail_usage("{} is not the tokenizer of these shards: got SHA-256 {}, expected {}",
               (folder / kTokenizerFile).string(), tokenizer.sha256(), manifest.tokenizer_sha256);
  }
  if (tokenizer.vocabulary().padded_size() != manifest.vocab_size || tokenizer.vocabulary().eos != manifest.eos_id) {
    fail_usage("{}: got vocab_size {} and eos_id {}, the tokenizer gives {} and {}", (folder / kManifestFile).string(),
               manifest.vocab_size, manifest.eos_id, tokenizer.vocabulary().padded_size(), tokenizer.vocabulary().eos);
  }
  return tokenizer;
}

}  // namespace

Corpus::Corpus(const std::filesystem::path& folder)
    : folder_(folder),
      manifest_(read_manifest(folder)),
      tokenizer_(open_tokenizer(folder, manifest_)),
      token_starts_{0},
      document_starts_{0},
      shards_(manifest_.shards.size()) {
  check_folder(folder, manifest_);
  for (const ShardRecord& record : manifest_.shards) {
    check_shard_file(folder, record, manifest_.tokenizer_sha256);
    check_shard(ShardReader(folder / record.file, 0), record, manifest_);
    token_starts_.push_back(token_starts_.back() + record.tokens);
    document_starts_.push_back(document_starts_.back() + record.documents);
  }
}

ShardReader& Corpus::shard(size_t index) {
  OpenShard& slot = shards_[index];
  slot.last_use = ++uses_;
  if (slot.reader) return *slot.reader;
  const size_t largest = std::min(shards_.size(), kLargestOpen);
  if (open_ == largest) {
    const auto age = [](const OpenShard& s) { return s.reader ? s.last_use : std::numeric_limits<int64_t>::max(); };
    std::min_element(shards_.begin(), shards_.end(), [&](auto& a, auto& b) { return age(a) < age(b); })->reader.reset();
    --open_;
  }
  slot.reader = std::make_unique<ShardReader>(folder_ / manifest_.shards[index].file,
                                              kCacheBytes / static_cast<int64_t>(largest));
  ++open_;
  return *slot.reader;
}

void Corpus::read(int64_t begin, std::span<int32_t> out) {
  CHECK(begin >= 0 && begin + static_cast<int64_t>(out.size()) <= tokens(), "tokens {} to {} of {}", begin,
        begin + static_cast<int64_t>(out.size()), tokens());
  auto index = static_cast<size_t>(std::upper_bound(token_starts_.begin(), token_starts_.end(), begin) -
                                   token_starts_.begin() - 1);
  while (!out.empty()) {
    const auto part = std::min<int64_t>(static_cast<int64_t>(out.size()), token_starts_[index + 1] - begin);
    const std::span<int32_t> into = out.first(static_cast<size_t>(part));
    shard(index).read_tokens(begin - token_starts_[index], into);
    // No text has padding or sentinels. And where a file is cut while it is open, HDF5 reads zeros, whose checksum is
    // zero too.
    const int32_t pieces = tokenizer_.vocabulary().pieces;
    const auto wrong = [&](int32_t token) { return token <= Vocabulary::kPad || token >= pieces; };
    if (const auto bad = std::find_if(into.begin(), into.end(), wrong); bad != into.end())
      fail_usage("altered shard {}: token {} of {} is {}, expected 1 to {}, the pieces of the tokenizer",
                 shard(index).path().string(), begin - token_starts_[index] + (bad - into.begin()), kTokensName, *bad,
                 pieces - 1);
    out = out.subspan(static_cast<size_t>(part));
    begin += part;
    ++index;
  }
}

int64_t Corpus::document_begin(int64_t index) {
  CHECK(index >= 0 && index <= documents(), "document {} of {}", index, documents());
  if (index == documents()) return tokens();
  const auto at = static_cast<size_t>(std::upper_bound(document_starts_.begin(), document_starts_.end(), index) -
                                      document_starts_.begin() - 1);
  uint64_t offset = 0;
  shard(at).read_offsets(index - document_starts_[at], {&offset, 1});
  if (offset > static_cast<uint64_t>(manifest_.shards[at].tokens)) {
    fail_usage("altered shard {}: offset {} of {} is {}, of {} tokens", (folder_ / manifest_.shards[at].file).string(),
               index - document_starts_[at], kDocumentsName, offset, manifest_.shards[at].tokens);
  }
  return token_starts_[at] + static_cast<int64_t>(offset);
}

CorpusRange Corpus::document_range(int64_t begin, int64_t end) {
  CHECK(begin <= end, "documents {} to {}", begin, end);
  return {.begin = document_begin(begin), .end = document_begin(end), .documents = end - begin};
}

CorpusSplit split_corpus(Corpus& corpus) {
  const int64_t documents = corpus.documents();
  if (documents < 2) {
    fail_usage(
        "{} has {} document; to hold out the last 1% for validation it needs at least 2, or name a folder in "
        "data.validation",
        corpus.folder().string(), documents);
  }
  const int64_t first_validation = documents - std::max<int64_t>(1, documents / 100);
  return {corpus.document_range(0, first_validation), corpus.document_range(first_validation, documents)};
}

}  // namespace synthesizer
