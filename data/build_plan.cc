#include "data/build_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "data/document_batches.h"
#include "data/ordered_pipeline.h"

namespace synthesizer {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kSampleEvery = 64;

Json to_json(const std::vector<FileCount>& counts) {
  Json json = Json::array();
  for (const FileCount& c : counts) json.push_back({c.documents, c.text_bytes, c.sampled_bytes, c.sampled_tokens});
  return json;
}

std::vector<FileCount> counts_from_json(const Json& json) {
  std::vector<FileCount> counts;
  for (const Json& item : json) {
    const auto v = item.get<std::array<int64_t, 4>>();
    counts.push_back({.documents = v[0], .text_bytes = v[1], .sampled_bytes = v[2], .sampled_tokens = v[3]});
  }
  return counts;
}

// What one thread of the first pass makes of a batch.
struct CountedBatch {
  DocumentBatch raw;
  FileCount count;
};

FileCount total(const std::vector<FileCount>& counts) {
  FileCount sum;
  for (const FileCount& c : counts) {
    sum.documents += c.documents;
    sum.text_bytes += c.text_bytes;
    sum.sampled_bytes += c.sampled_bytes;
    sum.sampled_tokens += c.sampled_tokens;
  }
  return sum;
}

}  // namespace

int64_t BuildPlan::documents() const { return total(counts).documents; }

int64_t BuildPlan::shard_begin(int64_t shard) const {
  const int64_t all = documents();
  // Without the overflow of all * shard.
  return all / shards * shard + all % shards * shard / shards;
}

std::pair<size_t, int64_t> BuildPlan::locate(int64_t document) const {
  size_t file = 0;
  while (document >= counts[file].documents) document -= counts[file++].documents;
  return {file, document};
}

std::string build_identity(const BuildOptions& options, const std::vector<std::filesystem::path>& files,
                           const Tokenizer& tokenizer) {
  Json inputs = Json::array();
  for (const std::filesystem::path& file : files) {
    inputs.push_back({{"name", file.filename().string()}, {"bytes", std::filesystem::file_size(file)}});
  }
  const Json json = {{"inputs", inputs},
                     {"tokenizer_sha256", tokenizer.sha256()},
                     {"shards", options.shards},
                     {"compress", options.compress},
                     {"text_field", options.source.text_field},
                     {"text_unit", options.source.text_unit == TextUnit::kLine ? "line" : "file"}};
  return json.dump();
}

std::vector<std::string> file_stamps(const std::vector<std::filesystem::path>& files) {
  std::vector<std::string> stamps;
  for (const std::filesystem::path& file : files) {
    stamps.push_back(fmt::format("{} {} {}", std::filesystem::absolute(file).lexically_normal().string(),
                                 std::filesystem::file_size(file),
                                 std::filesystem::last_write_time(file).time_since_epoch().count()));
  }
  return stamps;
}

FileCount count_documents(const std::filesystem::path& file, const BuildOptions& options, const Tokenizer& tokenizer,
                          int threads, const std::function<void(int64_t documents)>& documents_done) {
  DocumentCursor cursor({file}, options.source);
  cursor.skip_to(0, 0);
  const auto produce = [&](CountedBatch& batch) { return cursor.next(batch.raw, kSampleEvery); };
  const auto work = [&](CountedBatch& batch) {
    batch.count = {.documents = static_cast<int64_t>(batch.raw.count)};
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < batch.raw.count; ++i) {
      const std::string text = parse_document(file, options.source, std::move(batch.raw.documents[i]));
      const auto bytes = static_cast<int64_t>(text.size());
      batch.count.text_bytes += bytes;
      if ((batch.raw.first + static_cast<int64_t>(i)) % kSampleEvery != 0) continue;
      tokenizer.encode(text, tokens);
      batch.count.sampled_bytes += bytes;
      batch.count.sampled_tokens += 1;  // the eos
    }
    batch.count.sampled_tokens += static_cast<int64_t>(tokens.size());
  };
  FileCount sum;
  const auto consume = [&](CountedBatch& batch) {
    sum = total({sum, batch.count});
    documents_done(batch.count.documents);
  };
  OrderedPipeline<CountedBatch>(produce, work, consume).run(threads);
  return sum;
}

int64_t choose_shards(const BuildOptions& options, const std::vector<FileCount>& counts) {
  const FileCount sum = total(counts);
  if (sum.text_bytes == 0) {
    fail_usage("empty corpus: {} input files hold {} documents and no text", counts.size(), sum.documents);
  }
  if (options.shards > sum.documents) {
    fail_usage("--shards: got {}, expected at most {}, one for each document", options.shards, sum.documents);
  }
  if (options.shards > 0) return options.shards;
  // Where every document of the sample is empty: what English text has, four bytes a token.
  const double tokens_per_byte =
      sum.sampled_bytes == 0 ? 0.25 : static_cast<double>(sum.sampled_tokens) / static_cast<double>(sum.sampled_bytes);
  const double tokens = static_cast<double>(sum.text_bytes) * tokens_per_byte;
  const auto shards = static_cast<int64_t>(std::ceil(tokens / static_cast<double>(kTokensPerShard)));
  return std::clamp<int64_t>(shards, 1, sum.documents);
}

std::string to_text(const std::vector<FileCount>& counts) { return to_json(counts).dump(); }
std::vector<FileCount> counts_from_text(const std::string& text) { return counts_from_json(Json::parse(text)); }

std::string to_text(const BuildPlan& plan) {
  const Json json = {{"identity", Json::parse(plan.identity)},
                     {"stamps", plan.stamps},
                     {"counts", to_json(plan.counts)},
                     {"shards", plan.shards}};
  return json.dump(1);
}

BuildPlan plan_from_text(const std::string& text) {
  const Json json = Json::parse(text);
  return {.identity = json.at("identity").dump(),
          .stamps = json.at("stamps").get<std::vector<std::string>>(),
          .counts = counts_from_json(json.at("counts")),
          .shards = json.at("shards").get<int64_t>()};
}

}  // namespace synthesizer
