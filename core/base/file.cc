#include "core/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"

namespace synthesizer {
namespace {

// Linux moves at most 2 GiB less a page a call.
constexpr int64_t kLargestCall = int64_t{1} << 30;

}  // namespace

void fail_errno(int error, std::string_view action, const std::filesystem::path& path) {
  const char* hint = "";
  if (error == ENOSPC)
    hint =
        ". The disk is full: free space there (old runs, checkpoints beyond checkpoint.keep) and run the same command "
        "again";
  if (error == EDQUOT)
    hint =
        ". Your quota is used up: free space there (old runs, checkpoints beyond checkpoint.keep) and run the same "
        "command again";
  if (error == EFBIG)
    hint = ". The file would be larger than the file size limit (ulimit -f) or the file system allows";
  fail("could not {} {}: {}{}", action, path.string(), std::strerror(error), hint);
}

File::File(std::filesystem::path path, int flags) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), flags | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_errno(errno, flags & O_CREAT ? "create" : "open", path_);
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

int64_t File::size() const {
  struct stat status;
  if (::fstat(descriptor_, &status) != 0) fail_errno(errno, "examine", path_);
  return status.st_size;
}

void File::resize(int64_t bytes) const {
  if (::ftruncate(descriptor_, bytes) != 0) fail_errno(errno, "resize", path_);
}

void File::read_at(int64_t offset, void* out, int64_t bytes) const {
  for (int64_t done = 0; done < bytes;) {
    const size_t ask = static_cast<size_t>(std::min(bytes - done, kLargestCall));
    const ssize_t got = ::pread(descriptor_, static_cast<char*>(out) + done, ask, offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(errno, "read", path_);
    if (got == 0) {
      fail("could not read {}: it ends at byte {}, expected at least {}", path_.string(), offset + done,
           offset + bytes);
    }
    done += got;
  }
}

void File::write_at(int64_t offset, const void* data, int64_t bytes) const {
  for (int64_t done = 0; done < bytes;) {
    const size_t ask = static_cast<size_t>(std::min(bytes - done, kLargestCall));
    const ssize_t wrote = ::pwrite(descriptor_, static_cast<const char*>(data) + done, ask, offset + done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail_errno(errno, "write", path_);
    done += wrote;
  }
}

void File::append(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t wrote = ::write(descriptor_, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail_errno(errno, "write", path_);
    text.remove_prefix(static_cast<size_t>(wrote));
  }
}

void File::sync() const {
  if (::fsync(descriptor_) != 0) fail_errno(errno, "sync", path_);
}

std::string read_text_file(const std::filesystem::path& path) {
  const File file(path, O_RDONLY);
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.read_at(0, text.data(), static_cast<int64_t>(text.size()));
  return text;
}

std::string read_input_file(const std::filesystem::path& path) {
  try {
    if (std::filesystem::is_directory(path)) fail("could not read {}: it is a folder, expected a file", path.string());
    return read_text_file(path);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

std::filesystem::path partial_name(const std::filesystem::path& path) { return path.string() + ".partial"; }

void commit_partial(const std::filesystem::path& path) {
  File(partial_name(path), O_RDONLY).sync();
  rename_path(partial_name(path), path);
  sync_folder(path.parent_path());
}

void replace_text_file(const std::filesystem::path& path, std::string_view text) {
  File(partial_name(path), O_WRONLY | O_CREAT | O_TRUNC).append(text);
  commit_partial(path);
}

void rename_path(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail_errno(errno, "rename to " + to.filename().string(), from);
}

void sync_folder(const std::filesystem::path& folder) {
  File(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY).sync();
}

}  // namespace synthesizer
