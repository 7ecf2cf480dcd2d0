#include "data/manifest.h"

#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/json_depth.h"

namespace synthesizer {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "synthesizer.shards";
constexpr int kVersion = 1;
constexpr int64_t kMostCount = int64_t{1} << 48;  // sums over shards stay in range
constexpr int64_t kMostId = std::numeric_limits<int32_t>::max();

// Both for what a manifest says; std::invalid_argument where it is out of range, which read_manifest turns into a
// UsageError.
uint64_t hex_of(const Json& json) {
  const std::string digits = json.get<std::string>();
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size())
    throw std::invalid_argument(fmt::format("got checksum '{}', expected hexadecimal digits", digits));
  return value;
}

int64_t count_of(const Json& parent, const char* name, int64_t most = kMostCount) {
  const Json& json = parent.at(name);
  if (!json.is_number_integer() || json.get<int64_t>() < 0 || json.get<int64_t>() > most)
    throw std::invalid_argument(fmt::format("{}: got {}, expected a number from 0 to {}", name, json.dump(), most));
  return json.get<int64_t>();
}

// The SHA-256 that a shard's attribute holds, found without HDF5: the only 64 hexadecimal digits in a row.
std::string sha256_in_head(const std::filesystem::path& path) {
  std::string head(1 << 16, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(in.gcount()));
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (size_t begin = head.find_first_of(kDigits); begin != std::string::npos;) {
    const size_t end = std::min(head.find_first_not_of(kDigits, begin), head.size());
    if (end - begin == 64) return head.substr(begin, 64);
    begin = head.find_first_of(kDigits, end);
  }
  return "";
}

Manifest parse(const Json& json, const std::filesystem::path& path) {
  if (json.at("format") != kFormat || json.at("version") != kVersion) {
    fail_usage("{}: got format {} version {}, this program reads {} version {}", path.string(),
               json.at("format").dump(), json.at("version").dump(), kFormat, kVersion);
  }
  Manifest manifest;
  manifest.vocab_size = static_cast<int32_t>(count_of(json, "vocab_size", kMostId));
  manifest.eos_id = static_cast<int32_t>(count_of(json, "eos_id", kMostId));
  manifest.tokenizer_sha256 = json.at("tokenizer_sha256").get<std::string>();
  manifest.build = json.at("build").dump();
  for (const Json& item : json.at("shards")) {
    manifest.shards.push_back({.file = item.at("file").get<std::string>(),
                               .documents = count_of(item, "documents"),
                               .tokens = count_of(item, "tokens"),
                               .bytes = count_of(item, "bytes"),
                               .xxh3 = hex_of(item.at("xxh3")),
                               .head_bytes = count_of(item, "head_bytes"),
                               .head_xxh3 = hex_of(item.at("head_xxh3"))});
    if (const auto index = static_cast<int64_t>(manifest.shards.size()) - 1;
        manifest.shards.back().file != shard_file_name(index))
      throw std::invalid_argument(fmt::format("shard {}: got file '{}', expected {}", index,
                                              manifest.shards.back().file, shard_file_name(index)));
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
                      {"xxh3", fmt::format("{:016x}", shard.xxh3)},
                      {"head_bytes", shard.head_bytes},
                      {"head_xxh3", fmt::format("{:016x}", shard.head_xxh3)}});
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
  replace_text_file(folder / kManifestFile, json.dump(2) + "\n");
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
    const std::string text = read_input_file(path);
    check_json_depth(text, path.string());
    Manifest manifest = parse(Json::parse(text), path);
    if (manifest.shards.empty()) fail_usage("{} is broken: it lists no shard", path.string());
    return manifest;
  } catch (const UsageError&) {
    throw;
  } catch (const std::exception& error) {  // nlohmann's, and what is out of range
    fail_usage("{} is broken: {}", path.string(), error.what());
  }
}

void check_shard_file(const std::filesystem::path& folder, const ShardRecord& record,
                      const std::string& tokenizer_sha256) {
  const std::filesystem::path path = folder / record.file;
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) fail_usage("shard {} is missing: {}", path.string(), error.message());
  const std::string sha256 = sha256_in_head(path);
  if (!sha256.empty() && sha256 != tokenizer_sha256) {
    fail_usage("shard {} was made with another tokenizer: got SHA-256 {}, expected {}", path.string(), sha256,
               tokenizer_sha256);
  }
  if (bytes != static_cast<uintmax_t>(record.bytes)) {
    fail_usage("altered shard {}: got {} bytes, expected {}", path.string(), bytes, record.bytes);
  }
  if (const uint64_t head = xxh3_of_file(path, record.head_bytes); head != record.head_xxh3) {
    fail_usage("altered shard {}: its first {} bytes, names and attributes, have XXH3 {:016x}, expected {:016x}",
               path.string(), record.head_bytes, head, record.head_xxh3);
  }
}

uint64_t xxh3_of_file(const std::filesystem::path& path, int64_t limit) {
  std::ifstream in(path, std::ios::binary);
  if (!in) fail_usage("could not read {}: {}", path.string(), std::strerror(errno));
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<char> buffer(static_cast<size_t>(std::min<int64_t>(limit, 1 << 20)));
  const auto read = [&] {
    in.read(buffer.data(), std::min(limit, static_cast<int64_t>(buffer.size())));
    limit -= in.gcount();
    return in.gcount() > 0;
  };
  while (read()) {
    XXH3_64bits_update(state.get(), buffer.data(), static_cast<size_t>(in.gcount()));
  }
  if (in.bad()) fail_usage("could not read {}: {}", path.string(), std::strerror(errno));
  return XXH3_64bits_digest(state.get());
}

}  // namespace synthesizer
