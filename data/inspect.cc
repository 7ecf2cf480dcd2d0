#include "data/inspect.h"

#include <algorithm>

#include "core/base/error.h"
#include "data/corpus.h"
#include "data/loader.h"

namespace synthesizer {
namespace {

ShardsDescription describe(const ShardReader& shard) {
  return {.path = shard.path(),
          .schema = shard.describe(),
          .shards = 1,
          .documents = shard.documents(),
          .tokens = shard.tokens(),
          .bytes = static_cast<int64_t>(std::filesystem::file_size(shard.path())),
          .tokenizer_sha256 = shard.attributes().tokenizer_sha256,
          .vocab_size = static_cast<int32_t>(shard.attributes().vocab_size)};
}

}  // namespace

ShardsDescription inspect_shards(const std::filesystem::path& folder_or_file) {
  ShardsDescription result;
  if (std::filesystem::is_directory(folder_or_file)) {
    const Corpus corpus(folder_or_file);
    const std::vector<ShardRecord>& shards = corpus.manifest().shards;
    // All have the same schema; the first one's is shown.
    result = describe(ShardReader(folder_or_file / shards.front().file, 0));
    result.path = folder_or_file;
    result.shards = static_cast<int64_t>(shards.size());
    result.documents = corpus.documents();
    result.tokens = corpus.tokens();
    result.bytes = 0;
    for (const ShardRecord& shard : shards) result.bytes += shard.bytes;
    result.pieces = corpus.tokenizer().vocabulary().pieces;
  } else {
    const std::filesystem::path folder = folder_or_file.parent_path();
    if (std::filesystem::exists(folder / kManifestFile)) {
      const Manifest manifest = read_manifest(folder);
      for (const ShardRecord& record : manifest.shards) {
        if (record.file == folder_or_file.filename()) check_shard_file(folder, record, manifest.tokenizer_sha256);
      }
    }
    result = describe(ShardReader(folder_or_file, 0));
    const std::filesystem::path tokenizer = folder / kTokenizerFile;
    if (std::filesystem::exists(tokenizer)) result.pieces = Tokenizer(tokenizer).vocabulary().pieces;
  }
  if (result.documents > 0) {
    result.tokens_per_document = static_cast<double>(result.tokens) / static_cast<double>(result.documents);
  }
  return result;
}

std::vector<ExampleText> inspect_examples(const std::filesystem::path& folder, const ObjectiveOptions& options,
                                          uint64_t seed, int64_t count, bool held_out) {
  Corpus corpus(folder);
  const Tokenizer tokenizer(folder / kTokenizerFile);
  const Objective objective(options, tokenizer.vocabulary());
  const CorpusRange range = held_out ? split_corpus(corpus).training : corpus.all();
  count = std::clamp<int64_t>(count, 1, std::max<int64_t>(1, range.tokens() / objective.raw_length()));
  Loader loader(std::move(corpus), range, objective,
                {.batch = count, .begin = 0, .end = count, .seed = seed, .prefetch = 1});
  const ExampleBatch& batch = *loader.next();
  std::vector<ExampleText> examples;
  for (int64_t row = 0; row < count; ++row) {
    const auto of = [&](std::span<const int32_t> all, int64_t length) {
      return tokenizer.to_text(all.subspan(static_cast<size_t>(row * length), static_cast<size_t>(length)),
                               objective.vocabulary());
    };
    examples.push_back({.inputs = of(batch.inputs, objective.input_length()),
                        .targets = of(batch.targets, objective.target_length())});
  }
  return examples;
}

}  // namespace synthesizer
