// What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput, which gives its bytes to the project's
// own reader of them. A UsageError is the right answer to wrong bytes; any other exception, a crash, a sanitizer's
// report, memory by an untrusted size or a loop without end is a finding, whoever runs the target: libFuzzer (preset
// fuzz) or short_test.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

// The name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace synthesizer::fuzz {

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// True if `read` took its input, false if it refused it.
template <typename Read>
bool accepts(Read&& read) {
  try {
    read();
    return true;
  } catch (const UsageError&) {
    return false;
  }
}

// What must hold of input that was taken; a finding where it does not.
inline void hold(bool right, const std::string& what) {
  if (!right) throw std::logic_error("does not hold: " + what);
}

// A folder of this process, for readers that take files.
inline const TemporaryFolder& folder() {
  static const TemporaryFolder folder;
  return folder;
}

// A file for the next input. It is removed first: file systems bring a file that is cut to nothing and written again to
// disk at once.
inline void write(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << bytes;
}

// The same in folder(); returns its path.
inline std::filesystem::path write_here(const std::string& name, std::string_view bytes) {
  const std::filesystem::path path = folder() / name;
  write(path, bytes);
  return path;
}

}  // namespace synthesizer::fuzz
