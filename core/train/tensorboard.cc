#include "core/train/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "core/base/error.h"
#include "core/train/tensorboard.pb.h"

namespace synthesizer {
namespace {

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0u);  // Castagnoli, reflected
    table[i] = crc;
  }
  return table;
}();

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::filesystem::path new_path(const std::filesystem::path& folder) {
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) != 0) fail_errno(errno, "learn the host's name for", folder);
  const std::string name =
      fmt::format("events.out.tfevents.{}.{}.{}", static_cast<int64_t>(seconds_since_1970()), host, ::getpid());
  std::filesystem::path path = folder / name;
  for (int i = 1; std::filesystem::exists(path); ++i) path = folder / fmt::format("{}.{}", name, i);
  return path;
}

tensorboard::Event event_at(int64_t step) {
  tensorboard::Event event;
  event.set_wall_time(seconds_since_1970());
  event.set_step(step);
  return event;
}

std::string_view bytes_of(const auto& number) { return {reinterpret_cast<const char*>(&number), sizeof number}; }

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xFF];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder, int64_t first_step)
    : file_(new_path(folder), O_WRONLY | O_CREAT | O_EXCL | O_APPEND) {
  tensorboard::Event version = event_at(0);
  version.set_file_version("brain.Event:2");
  write_record(version.SerializeAsString());
  if (first_step == 0) return;
  // TensorBoard drops events from this step on.
  tensorboard::Event start = event_at(first_step + 1);
  start.mutable_session_log()->set_status(tensorboard::SessionLog::START);
  write_record(start.SerializeAsString());
}

void TensorBoardWriter::scalar(std::string_view tag, int64_t step, double value) {
  scalars("", step, {{std::string(tag), value}});
}

void TensorBoardWriter::scalars(std::string_view prefix, int64_t step, const NamedValues& values) {
  tensorboard::Event event = event_at(step);
  for (const auto& [name, value] : values) {
    tensorboard::Summary::Value& scalar = *event.mutable_summary()->add_value();
    scalar.set_tag(fmt::format("{}{}", prefix, name));
    scalar.set_simple_value(static_cast<float>(value));
  }
  write_record(event.SerializeAsString());
}

void TensorBoardWriter::text(std::string_view tag, int64_t step, std::string_view markdown) {
  tensorboard::Event event = event_at(step);
  tensorboard::Summary::Value& value = *event.mutable_summary()->add_value();
  value.set_tag(std::string(tag));
  value.mutable_metadata()->mutable_plugin_data()->set_plugin_name("text");
  value.mutable_tensor()->set_dtype(tensorboard::DT_STRING);
  value.mutable_tensor()->mutable_tensor_shape()->add_dim()->set_size(1);
  value.mutable_tensor()->add_string_val(std::string(markdown));
  write_record(event.SerializeAsString());
}

void TensorBoardWriter::write_record(const std::string& bytes) {
  const uint64_t length = bytes.size();
  std::string record(bytes_of(length));
  record += bytes_of(masked_crc32c(bytes_of(length)));
  record += bytes;
  record += bytes_of(masked_crc32c(bytes));
  file_.append(record);
}

}  // namespace synthesizer
