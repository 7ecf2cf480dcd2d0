#include "data/shard_job.h"

#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "data/ordered_pipeline.h"
#include "data/shard_reader.h"
#include "data/shard_writer.h"

namespace synthesizer {
namespace {

constexpr size_t kLargestSourceList = 32;  // files named in a shard's `source`

// Documents [begin, end) of a file.
struct Piece {
  size_t file = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

std::vector<Piece> shard_pieces(const BuildPlan& plan, int64_t index) {
  std::vector<Piece> pieces;
  int64_t left = plan.shard_begin(index + 1) - plan.shard_begin(index);
  auto [file, begin] = plan.locate(plan.shard_begin(index));
  for (; left > 0; ++file, begin = 0) {
    const int64_t end = std::min(plan.counts[file].documents, begin + left);
    if (end > begin) pieces.push_back({file, begin, end});
    left -= end - begin;
  }
  return pieces;
}

struct TokenizedBatch {
  DocumentBatch raw;
  std::vector<int32_t> tokens;  // of all documents, an eos after each
  std::vector<size_t> ends;     // of each, in `tokens`
};

void tokenize(const ShardJobContext& context, TokenizedBatch& batch) {
  batch.tokens.clear();
  batch.ends.clear();
  for (size_t i = 0; i < batch.raw.count; ++i) {
    const std::string text =
        parse_document(context.files[batch.raw.file], context.options.source, std::move(batch.raw.documents[i]));
    context.tokenizer.encode(text, batch.tokens);
    batch.tokens.push_back(context.tokenizer.vocabulary().eos);
    batch.ends.push_back(batch.tokens.size());
  }
}

// Of a whole shard.
ShardRecord record_of(const ShardReader& shard, int64_t index) {
  const int64_t head = shard.head_bytes();
  return {.file = shard_file_name(index),
          .documents = shard.documents(),
          .tokens = shard.tokens(),
          .bytes = static_cast<int64_t>(std::filesystem::file_size(shard.path())),
          .xxh3 = xxh3_of_file(shard.path()),
          .head_bytes = head,
          .head_xxh3 = xxh3_of_file(shard.path(), head)};
}

}  // namespace

ShardAttributes shard_attributes(const ShardJobContext& context, int64_t index) {
  const std::vector<Piece> pieces = shard_pieces(context.plan, index);
  std::vector<std::string> names;
  for (const Piece& piece : pieces) {
    if (names.size() == kLargestSourceList) {
      names.push_back(fmt::format("and {} more files", pieces.size() - names.size()));
      break;
    }
    names.push_back(fmt::format("{}[{}:{}]", context.files[piece.file].filename().string(), piece.begin, piece.end));
  }
  const Vocabulary& vocabulary = context.tokenizer.vocabulary();
  return {.vocab_size = vocabulary.padded_size(),
          .eos_id = vocabulary.eos,
          .tokenizer_sha256 = context.tokenizer.sha256(),
          .source = fmt::format("{}", fmt::join(names, " "))};
}

ShardRecord write_shard(const ShardJobContext& context, int64_t index, DocumentCursor& cursor,
                        const ShardJobProgress& progress) {
  const std::filesystem::path path = context.options.output / shard_file_name(index);
  const std::vector<Piece> pieces = shard_pieces(context.plan, index);
  ShardWriter writer(path, shard_attributes(context, index), context.options.compress);
  size_t piece = 0;
  int64_t number = pieces.front().begin;  // of the next document in the piece's file
  const auto produce = [&](TokenizedBatch& batch) {
    if (piece < pieces.size() && number == pieces[piece].end) {
      ++piece;
      if (piece < pieces.size()) number = pieces[piece].begin;
    }
    if (piece == pieces.size()) return false;
    cursor.skip_to(pieces[piece].file, number);
    if (!cursor.next(batch.raw, pieces[piece].end - number)) {
      fail_usage("input {} changed while the build went on: it ends after {} documents",
                 context.files[pieces[piece].file].string(), number);
    }
    number += static_cast<int64_t>(batch.raw.count);
    return true;
  };
  const auto work = [&](TokenizedBatch& batch) { tokenize(context, batch); };
  const auto consume = [&](TokenizedBatch& batch) {
    size_t begin = 0;
    for (const size_t end : batch.ends) {
      writer.append_document(std::span<const int32_t>(batch.tokens).subspan(begin, end - begin));
      begin = end;
    }
    progress(static_cast<int64_t>(batch.ends.size()), static_cast<int64_t>(batch.tokens.size()));
  };
  OrderedPipeline<TokenizedBatch>(produce, work, consume).run(context.threads);
  writer.finish();
  return record_of(ShardReader(path, 0), index);
}

ShardRecord check_written_shard(const ShardJobContext& context, int64_t index) {
  const std::filesystem::path path = context.options.output / shard_file_name(index);
  const ShardReader reader(path, 0);
  const int64_t documents = context.plan.shard_begin(index + 1) - context.plan.shard_begin(index);
  if (reader.attributes() != shard_attributes(context, index) || reader.documents() != documents) {
    fail_usage("{} is of another build: got {} documents of {}, expected {} of {}. Choose another --output",
               path.string(), reader.documents(), reader.attributes().source, documents,
               shard_attributes(context, index).source);
  }
  return record_of(reader, index);
}

}  // namespace synthesizer
