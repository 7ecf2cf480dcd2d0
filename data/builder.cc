#include "data/builder.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "data/build_plan.h"
#include "data/document_batches.h"
#include "data/manifest.h"
#include "data/shard_job.h"

namespace synthesizer {
namespace {

using Json = nlohmann::ordered_json;

// Where ranks leave each other word until the build is finished: counts-R.json, plan.json, part-NNNNN.json.
constexpr const char* kWorkFolder = ".build";

class Build {
 public:
  Build(const BuildOptions& options, const BuildRanks& ranks, const std::function<void(const BuildProgress&)>& progress)
      : options_(options),
        ranks_(ranks),
        progress_(progress),
        files_(expand_inputs(options.inputs)),
        tokenizer_(options.tokenizer),
        work_(options.output / kWorkFolder),
        threads_(options.threads > 0 ? options.threads
                                     : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))) {
    if (options.shards < 0) fail_usage("--shards: got {}, expected 1 or more", options.shards);
    if (options.output.empty()) fail_usage("--output: got no name, expected a folder for the shards");
    if (std::filesystem::exists(options.output) && !std::filesystem::is_directory(options.output))
      fail_usage("--output {}: it is a file, expected a folder", options.output.string());
    require_writable("--output", options.output);
    plan_.identity = build_identity(options, files_, tokenizer_);
    plan_.stamps = file_stamps(files_);
  }

  BuildReport run();

 private:
  std::optional<BuildReport> finished() const;
  bool has_plan() const;
  void make_plan();
  std::vector<FileCount> count_own_files();
  void write_shards();
  ShardRecord write(const ShardJobContext& context, int64_t shard, DocumentCursor& cursor,
                    const ShardJobProgress& progress);
  void check_unchanged() const;
  BuildReport finish();
  bool first() const { return ranks_.rank == 0; }
  std::filesystem::path record_path(int64_t shard) const {
    return work_ / std::filesystem::path(shard_file_name(shard)).replace_extension(".json");
  }
  void tell() const {
    if (progress_) progress_(state_);
  }

  const BuildOptions& options_;
  const BuildRanks& ranks_;
  const std::function<void(const BuildProgress&)>& progress_;
  std::vector<std::filesystem::path> files_;
  Tokenizer tokenizer_;
  std::filesystem::path work_;
  int threads_;
  BuildPlan plan_;
  BuildProgress state_;
};

BuildReport Build::run() {
  if (const auto report = finished()) {
    ranks_.barrier();  // nobody removes what another still looks at
    if (first()) std::filesystem::remove_all(work_);
    return *report;
  }
  const bool planned = has_plan();
  ranks_.barrier();  // all have seen the folder as it was
  if (!planned) make_plan();
  const BuildPlan known = plan_from_text(read_input_file(work_ / "plan.json"));
  plan_.counts = known.counts;
  plan_.shards = known.shards;
  write_shards();
  ranks_.barrier();
  BuildReport report;
  if (first()) report = finish();
  ranks_.barrier();
  return report;
}

// The report of a build that was done before; nothing if there is work to do.
std::optional<BuildReport> Build::finished() const {
  const std::filesystem::path& folder = options_.output;
  if (!std::filesystem::exists(folder / kManifestFile)) return std::nullopt;
  const Manifest manifest = read_manifest(folder);
  if (Json::parse(manifest.build) != Json::parse(plan_.identity)) {
    fail_usage(
        "--output {} holds a finished build of other input or options: got {}, it holds {}. Choose another folder",
        folder.string(), plan_.identity, manifest.build);
  }
  BuildReport report{.shards = static_cast<int64_t>(manifest.shards.size()), .already_finished = true};
  for (const ShardRecord& shard : manifest.shards) {
    report.documents += shard.documents;
    report.tokens += shard.tokens;
    report.bytes += shard.bytes;
  }
  report.kept_shards = report.shards;
  return report;
}

// True if an earlier run of the same command has left its plan.
bool Build::has_plan() const {
  const std::filesystem::path& folder = options_.output;
  if (!std::filesystem::exists(work_ / "plan.json")) {
    const std::filesystem::path tokenizer = folder / kTokenizerFile;  // the user may have made it there
    if (std::filesystem::exists(folder / shard_file_name(0)) ||
        (std::filesystem::exists(tokenizer) && read_input_file(tokenizer) != tokenizer_.model_bytes())) {
      fail_usage("--output {} holds shards or a tokenizer that are not of this build. Choose another folder",
                 folder.string());
    }
    return false;
  }
  const BuildPlan known = plan_from_text(read_input_file(work_ / "plan.json"));
  if (Json::parse(known.identity) != Json::parse(plan_.identity)) {
    fail_usage(
        "--output {} holds an unfinished build of other input or options: got {}, it is of {}. Run that command "
        "again, or choose another folder",
        folder.string(), plan_.identity, known.identity);
  }
  if (known.stamps != plan_.stamps) {
    const auto at = static_cast<size_t>(
        std::mismatch(known.stamps.begin(), known.stamps.end(), plan_.stamps.begin()).first - known.stamps.begin());
    fail_usage("input {} has changed since the build in {} was begun. Choose another folder", files_[at].string(),
               folder.string());
  }
  return true;
}

void Build::make_plan() {
  const bool made_folder = !std::filesystem::exists(options_.output);
  ranks_.barrier();
  const auto remove_all = [&] {
    std::filesystem::remove_all(work_);
    if (made_folder) std::filesystem::remove(options_.output);
  };
  // A rank that finds wrong input tells the others, so that all end alike and none waits for it.
  Json own = {{"counts", Json::array()}, {"error", nullptr}};
  try {
    own["counts"] = Json::parse(to_text(count_own_files()));
  } catch (const UsageError& error) {
    own["error"] = error.what();
  }
  if (first()) std::filesystem::create_directories(work_);
  ranks_.barrier();
  replace_text_file(work_ / fmt::format("counts-{}.json", ranks_.rank), own.dump());
  ranks_.barrier();
  std::vector<std::vector<FileCount>> all;
  std::string error;
  for (int rank = 0; rank < ranks_.world; ++rank) {
    const Json json = Json::parse(read_input_file(work_ / fmt::format("counts-{}.json", rank)));
    if (error.empty() && json["error"].is_string()) error = json["error"].get<std::string>();
    all.push_back(counts_from_text(json["counts"].dump()));
  }
  ranks_.barrier();  // all have read
  try {
    if (!error.empty()) throw UsageError(error);
    for (size_t file = 0; file < files_.size(); ++file) {
      plan_.counts.push_back(all[file % all.size()][file / all.size()]);
    }
    plan_.shards = choose_shards(options_, plan_.counts);
  } catch (const UsageError&) {
    if (first()) remove_all();
    throw;
  }
  if (first()) replace_text_file(work_ / "plan.json", to_text(plan_));
  ranks_.barrier();
}

// Files rank, rank + world, ... of the input.
std::vector<FileCount> Build::count_own_files() {
  state_ = {.stage = "counting"};
  std::vector<FileCount> counts;
  const auto done = [&](int64_t documents) {
    state_.documents += documents;
    tell();
  };
  for (auto i = static_cast<size_t>(ranks_.rank); i < files_.size(); i += static_cast<size_t>(ranks_.world)) {
    counts.push_back(count_documents(files_[i], options_, tokenizer_, threads_, done));
  }
  return counts;
}

void Build::write_shards() {
  const ShardJobContext context{options_, files_, tokenizer_, plan_, threads_};
  state_ = {.stage = "building"};
  for (int64_t shard = ranks_.rank; shard < plan_.shards; shard += ranks_.world) {
    ++state_.all_shards;
    state_.all_documents += plan_.shard_begin(shard + 1) - plan_.shard_begin(shard);
  }
  DocumentCursor cursor(files_, options_.source);
  for (int64_t shard = ranks_.rank; shard < plan_.shards; shard += ranks_.world) {
    const bool kept = std::filesystem::exists(options_.output / shard_file_name(shard));
    const auto progress = [&](int64_t documents, int64_t tokens) {
      state_.documents += documents;
      state_.tokens += tokens;
      tell();
    };
    ShardRecord record;
    if (kept) {
      record = check_written_shard(context, shard);
      progress(record.documents, record.tokens);
    } else {
      record = write(context, shard, cursor, progress);
    }
    replace_text_file(record_path(shard), Json{{"file", record.file},
                                               {"documents", record.documents},
                                               {"tokens", record.tokens},
                                               {"bytes", record.bytes},
                                               {"xxh3", record.xxh3},
                                               {"head_bytes", record.head_bytes},
                                               {"head_xxh3", record.head_xxh3},
                                               {"kept", kept}}
                                              .dump());
    ++state_.shards;
    tell();
  }
}

// All input was read and found right when it was counted: what is wrong with it now is a failure of a build under way.
ShardRecord Build::write(const ShardJobContext& context, int64_t shard, DocumentCursor& cursor,
                         const ShardJobProgress& progress) {
  try {
    return write_shard(context, shard, cursor, progress);
  } catch (const UsageError& error) {
    check_unchanged();
    throw Error(error.what());
  }
}

void Build::check_unchanged() const {
  std::error_code error;
  for (size_t i = 0; i < files_.size(); ++i)
    if (!std::filesystem::exists(files_[i], error) || file_stamps({files_[i]}).front() != plan_.stamps[i])
      fail(
          "input {} has changed while the build went on, so {} has no manifest. Remove that folder, or choose another, "
          "and build again",
          files_[i].string(), options_.output.string());
}

// Rank 0, when all shards are there.
BuildReport Build::finish() {
  check_unchanged();
  Manifest manifest{.vocab_size = tokenizer_.vocabulary().padded_size(),
                    .eos_id = tokenizer_.vocabulary().eos,
                    .tokenizer_sha256 = tokenizer_.sha256(),
                    .build = plan_.identity};
  BuildReport report{.shards = plan_.shards};
  for (int64_t shard = 0; shard < plan_.shards; ++shard) {
    const Json json = Json::parse(read_input_file(record_path(shard)));
    const ShardRecord record{.file = json.at("file").get<std::string>(),
                             .documents = json.at("documents").get<int64_t>(),
                             .tokens = json.at("tokens").get<int64_t>(),
                             .bytes = json.at("bytes").get<int64_t>(),
                             .xxh3 = json.at("xxh3").get<uint64_t>(),
                             .head_bytes = json.at("head_bytes").get<int64_t>(),
                             .head_xxh3 = json.at("head_xxh3").get<uint64_t>()};
    report.documents += record.documents;
    report.tokens += record.tokens;
    report.bytes += record.bytes;
    report.kept_shards += json.at("kept").get<bool>() ? 1 : 0;
    manifest.shards.push_back(record);
  }
  replace_text_file(options_.output / kTokenizerFile, tokenizer_.model_bytes());
  write_manifest(options_.output, manifest);
  std::filesystem::remove_all(work_);
  return report;
}

}  // namespace

BuildReport build_shards(const BuildOptions& options, const BuildRanks& ranks,
                         const std::function<void(const BuildProgress&)>& progress) {
  std::optional<Build> build;
  as_input([&] { build.emplace(options, ranks, progress); });
  return build->run();
}

}  // namespace synthesizer
