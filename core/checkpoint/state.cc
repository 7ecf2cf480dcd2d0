#include "core/checkpoint/state.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/json_depth.h"

namespace synthesizer {
namespace {

std::string hex(uint64_t value) { return fmt::format("{:016x}", value); }

uint64_t from_hex(const std::string& text, const std::filesystem::path& path) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size())
    fail_usage("{}: got the checksum '{}', expected hexadecimal digits", path.string(), text);
  return value;
}

// A whole number; nlohmann would make one of any number, true or false.
template <typename Integer>
Integer whole_number(const nlohmann::json& parent, const char* name, const std::filesystem::path& path) {
  const nlohmann::json& json = parent.at(name);
  if (!json.is_number_unsigned() || json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<Integer>::max()))
    fail_usage("{}: {}: got {}, expected a whole number from 0", path.string(), name, json.dump());
  return json.get<Integer>();
}

// The checksum of everything in `json` but the checksum itself, over one canonical spelling.
std::string checksum_of(nlohmann::json json) {
  json.erase("checksum");
  return hex(hash_name(json.dump()));
}

nlohmann::json checksums_to_json(const CheckpointChecksums& checksums) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [part, sums] : checksums) {
    nlohmann::json tensors = nlohmann::json::object();
    for (const auto& [name, sum] : sums.tensors) tensors[name] = hex(sum);
    json[std::string(file_name(part))] = {{"header", hex(sums.header)}, {"tensors", tensors}};
  }
  return json;
}

CheckpointChecksums checksums_from_json(const nlohmann::json& json, const std::filesystem::path& path) {
  CheckpointChecksums checksums;
  for (const CheckpointPart part : kCheckpointParts) {
    const nlohmann::json& of_file = json.at(std::string(file_name(part)));
    FileChecksums& sums = checksums[part];
    sums.header = from_hex(of_file.at("header").get<std::string>(), path);
    for (const auto& [name, sum] : of_file.at("tensors").items())
      sums.tensors[name] = from_hex(sum.get<std::string>(), path);
  }
  return checksums;
}

}  // namespace

std::string_view file_name(CheckpointPart part) {
  return part == CheckpointPart::kModel ? "model.safetensors" : "optimizer.safetensors";
}

std::string state_to_text(const CheckpointState& state, const CheckpointChecksums& checksums) {
  nlohmann::json json = {{"format", kCheckpointFormat},
                         {"step", state.step},
                         {"data", {{"epoch", state.epoch}, {"example", state.example}}},
                         {"seed", state.seed},
                         {"program_version", state.program_version},
                         {"config", state.config},
                         {"extra", state.extra},
                         {"checksum_block", kChecksumBlock},
                         {"checksums", checksums_to_json(checksums)}};
  json["checksum"] = checksum_of(json);
  return json.dump(2) + "\n";
}

void state_from_text(const std::string& text, const std::filesystem::path& path, CheckpointState& state,
                     CheckpointChecksums& checksums) {
  check_json_depth(text, path.string());
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    const int format = whole_number<int>(json, "format", path);
    if (format != kCheckpointFormat)
      fail_usage("{}: checkpoint format {}, this program reads {}", path.string(), format, kCheckpointFormat);
    if (json.at("checksum") != checksum_of(json)) fail_usage("{}: altered: its checksum does not match", path.string());
    if (json.at("checksum_block") != kChecksumBlock)
      fail_usage("{}: checksums of blocks of {} bytes, expected {}", path.string(), json["checksum_block"].dump(),
                 kChecksumBlock);
    state.step = whole_number<int64_t>(json, "step", path);
    state.epoch = whole_number<int64_t>(json.at("data"), "epoch", path);
    state.example = whole_number<int64_t>(json.at("data"), "example", path);
    state.seed = whole_number<uint64_t>(json, "seed", path);
    state.program_version = json.at("program_version").get<std::string>();
    state.config = json.at("config").get<std::string>();
    state.extra = json.at("extra");
    checksums = checksums_from_json(json.at("checksums"), path);
  } catch (const nlohmann::json::exception& error) {
    fail_usage("{}: torn or altered ({})", path.string(), error.what());
  }
}

}  // namespace synthesizer
