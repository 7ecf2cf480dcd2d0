#include "data/durable.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "core/base/error.h"

namespace synthesizer {
namespace {

// Owns a descriptor that is only synced.
class SyncDescriptor {
 public:
  SyncDescriptor(const std::filesystem::path& path, int flags) : path_(path), descriptor_(::open(path.c_str(), flags)) {
    if (descriptor_ < 0) fail("could not open {}: {}", path_.string(), std::strerror(errno));
  }
  ~SyncDescriptor() { ::close(descriptor_); }
  SyncDescriptor(const SyncDescriptor&) = delete;
  SyncDescriptor& operator=(const SyncDescriptor&) = delete;
  void sync() const {
    if (::fsync(descriptor_) != 0) fail("could not sync {}: {}", path_.string(), std::strerror(errno));
  }

 private:
  const std::filesystem::path& path_;
  int descriptor_;
};

}  // namespace

std::filesystem::path partial_name(const std::filesystem::path& path) { return path.string() + ".partial"; }

void commit_partial(const std::filesystem::path& path) {
  const std::filesystem::path partial = partial_name(path);
  SyncDescriptor(partial, O_RDONLY | O_CLOEXEC).sync();
  std::error_code error;
  std::filesystem::rename(partial, path, error);
  if (error) fail("could not rename {} to {}: {}", partial.string(), path.string(), error.message());
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  SyncDescriptor(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC).sync();
}

void write_whole_file(const std::filesystem::path& path, std::string_view bytes) {
  const std::filesystem::path partial = partial_name(path);
  {
    std::ofstream out(partial, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.flush();
    if (!out) fail("could not write {}: {}", partial.string(), std::strerror(errno));
  }
  commit_partial(path);
}

std::string read_whole_file(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path))
    fail_usage("could not read {}: it is a folder, expected a file", path.string());
  std::ifstream in(path, std::ios::binary);
  if (!in) fail_usage("could not read {}: {}", path.string(), std::strerror(errno));
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) fail_usage("could not read {}: {}", path.string(), std::strerror(errno));
  return bytes;
}

}  // namespace synthesizer
