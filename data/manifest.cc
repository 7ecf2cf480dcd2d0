#include "data/manifest.h"

#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "data/durable.h"

namespace synthesizer {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "synthesizer.shards";
constexpr int kVersion = 1;

Manifest parse(const Json& json, const std::filesystem::path& path) {
  if (json.at("format") != kFormat || json.at("version") != kVersion) {
    fail_usage("{}: got format {} version {}, this program reads {} version {}", path.string(),
               json.at("format").dump(), json.at("version").dump(), kFormat, kVersion);
  }
  Manifest manifest;
  manifest.vocab_size = json.at("vocab_size").get<int32_t>();
  manifest.eos_id = json.at("eos_id").get<int32_t>();
  manifest.tokenizer_sha256 = json.at("tokenizer_sha256").get<std::string>();
  manifest.build = json.at("build").dump();
  for (const Json& item : json.at("shards")) {
    const std::string digits = item.at("xxh3").get<std::string>();
    size_t parsed = 0;
    manifest.shards.push_back({.file = item.at("file").get<std::string>(),
                               .documents = item.at("documents").get<int64_t>(),
                               .tokens = item.at("tokens").get<int64_t>(),
                               .bytes = item.at("bytes").get<int64_t>(),
                               .xxh3 = std::stoull(digits, &parsed, 16)});
  }
  return manifest;
}

}  // namespace

std::string shard_file_name(int64_t index) { return fmt::format("part-{:05}.h5", index); }

void write_manifest(const std::filesystem::path& folder, const Manifest& manifest) {
  Json shards = Json::array();
  int64_t documents = 0;
  int64_t tokens = 0;
  for (const ShardRecord& shard : manifest.shards) {
    shards.push_back({{"file", shard.file},
                      {"documents", shard.documents},
                      {"tokens", shard.tokens},
                      {"bytes", shard.bytes},
                      {"xxh3", fmt::format("{:016x}", shard.xxh3)}});
    documents += shard.documents;
    tokens += shard.tokens;
  }
  const Json json = {{"format", kFormat},
                     {"version", kVersion},
                     {"documents", documents},
                     {"tokens", tokens},
                     {"vocab_size", manifest.vocab_size},
                     {"eos_id", manifest.eos_id},
                     {"tokenizer_sha256", manifest.tokenizer_sha256},
                     {"shards", shards},
                     {"build", Json::parse(manifest.build)}};
  write_whole_file(folder / kManifestFile, json.dump(2) + "\n");
}

Manifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kManifestFile;
  if (!std::filesystem::is_directory(folder)) fail_usage("{} is no folder of shards: not found", folder.string());
  if (!std::filesystem::exists(path)) {
    fail_usage(
        "{} has no {}: it is no folder of shards, or its build is not finished (run the same "
        "`synthesizer data build` again)",
        folder.string(), kManifestFile);
  }
  try {
    Manifest manifest = parse(Json::parse(read_whole_file(path)), path);
    if (manifest.shards.empty()) fail_usage("{} is broken: it lists no shard", path.string());
    return manifest;
  } catch (const UsageError&) {
    throw;
  } catch (const std::exception& error) {  // nlohmann's, and std::stoull's
    fail_usage("{} is broken: {}", path.string(), error.what());
  }
}

uint64_t xxh3_of_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) fail_usage("could not read {}: {}", path.string(), std::strerror(errno));
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0) {
    XXH3_64bits_update(state.get(), buffer.data(), static_cast<size_t>(in.gcount()));
  }
  if (in.bad()) fail_usage("could not read {}: {}", path.string(), std::strerror(errno));
  return XXH3_64bits_digest(state.get());
}

}  // namespace synthesizer
