// TensorBoard event files: records framed as TensorFlow's record_writer does (length, masked CRC-32C, data, masked
// CRC-32C), each an Event of tensorboard.proto. Rank 0 only. Plugins beyond scalars and text are left out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/base/file.h"
#include "core/train/metrics.h"

namespace synthesizer {

// CRC-32C (Castagnoli, RFC 3720 B.4) and the rotation that TensorFlow applies to it.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

class TensorBoardWriter {
 public:
  // A new file events.out.tfevents.<seconds>.<host>.<process> in `folder`; never an existing one. A run that is resumed
  // gives its step: what earlier files have after it is superseded.
  explicit TensorBoardWriter(const std::filesystem::path& folder, int64_t first_step = 0);

  const std::filesystem::path& path() const { return file_.path(); }
  void scalar(std::string_view tag, int64_t step, double value);
  // All values of one step in one event, each tag with `prefix` before its name.
  void scalars(std::string_view prefix, int64_t step, const NamedValues& values);
  // Markdown, shown under TensorBoard's Text tab.
  void text(std::string_view tag, int64_t step, std::string_view markdown);

 private:
  void write_record(const std::string& bytes);
  File file_;
};

}  // namespace synthesizer
