// A checkpoint's state.json: what there is to know besides the tensors, and the checksums by which they are trusted.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace synthesizer {

// The two files of tensors.
enum class CheckpointPart { kModel, kOptimizer };
inline constexpr std::array kCheckpointParts{CheckpointPart::kModel, CheckpointPart::kOptimizer};

// "model.safetensors", "optimizer.safetensors".
std::string_view file_name(CheckpointPart part);

struct CheckpointState {
  int64_t step = 0;     // updates done
  int64_t epoch = 0;    // of the next example
  int64_t example = 0;  // number of the next example in its epoch
  uint64_t seed = 0;
  std::string program_version;
  std::string config;  // the whole effective configuration, protobuf text
  nlohmann::json extra = nlohmann::json::object();
};

// Of one file of tensors. A tensor's checksum is the XXH3-64 of the XXH3-64s (little-endian) of its blocks of
// kChecksumBlock bytes, so that any number of ranks can share the work.
struct FileChecksums {
  uint64_t header = 0;  // of all bytes before the data
  std::map<std::string, uint64_t> tensors;
  bool operator==(const FileChecksums&) const = default;
};
inline constexpr int64_t kChecksumBlock = 4 << 20;

using CheckpointChecksums = std::map<CheckpointPart, FileChecksums>;

inline constexpr int kCheckpointFormat = 1;

// JSON with a checksum of itself; the same state gives the same bytes.
std::string state_to_text(const CheckpointState& state, const CheckpointChecksums& checksums);
// Reads it back; UsageError naming `path` if it is torn, altered or of another format version.
void state_from_text(const std::string& text, const std::filesystem::path& path, CheckpointState& state,
                     CheckpointChecksums& checksums);

}  // namespace synthesizer
