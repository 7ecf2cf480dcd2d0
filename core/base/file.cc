#include "core/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

// " (8.0 MB free of 20.0 MB)", of the file system that the path lies on, or is to lie on.
std::string space_text(std::filesystem::path path) {
  struct statvfs system;
  while (::statvfs(path.empty() ? "." : path.c_str(), &system) != 0) {
    if (path.empty() || path == path.parent_path()) return "";
    path = path.parent_path();
  }
  const auto megabytes = [&](auto blocks) {
    return static_cast<double>(blocks) * static_cast<double>(system.f_frsize) / 1e6;
  };
  return fmt::format(" ({:.1f} MB free of {:.1f} MB)", megabytes(system.f_bavail), megabytes(system.f_blocks));
}

}  // namespace

void fail_errno(int error, std::string_view action, const std::filesystem::path& path) {
  std::string hint;
  if (error == ENOSPC)
    hint = fmt::format(
        ". The disk is full: free space there{} by removing old runs, checkpoints or shards, and run the same command "
        "again",
        space_text(path));
  if (error == EDQUOT)
    hint =
        ". Your quota is used up: free space there by removing old runs, checkpoints or shards, and run the same "
        "command "
        "again";
  if (error == EFBIG)
    hint = ". The file would be larger than the file size limit (ulimit -f) or the file system allows";
  throw FileError(fmt::format("could not {} {}: {}{}", action, path.string(), std::strerror(error), hint), error);
}

void as_input(const std::function<void()>& action) {
  try {
    action();
  } catch (const FileError& error) {
    if (error.number() == ENOSPC || error.number() == EDQUOT) throw;
    throw UsageError(error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    fail_usage("could not read {}: {}", error.path1().string(), error.code().message());
  }
}

void require_writable(std::string_view what, const std::filesystem::path& folder) {
  const auto refuse = [&](const std::filesystem::path& at, std::string_view reason) {
    const std::string where = at == folder ? "" : fmt::format(" in {}", at.string());
    fail_usage("{} {}: nothing can be written{}: {}. Choose another folder", what, folder.string(), where, reason);
  };
  // The folder, or the nearest one above that is there.
  std::filesystem::path at = folder.empty() ? "." : folder;
  struct stat status;
  while (::stat(at.c_str(), &status) != 0) {
    if (errno != ENOENT) refuse(at, std::strerror(errno));
    const std::filesystem::path above = at.parent_path();
    at = above.empty() || above == at ? (at.is_absolute() ? "/" : ".") : above;
  }
  if (!S_ISDIR(status.st_mode)) refuse(at, "it is a file, expected a folder");
  if (::access(at.c_str(), W_OK | X_OK) != 0) refuse(at, std::strerror(errno));
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
      throw FileError(fmt::format("could not read {}: it ends at byte {}, expected at least {}", path_.string(),
                                  offset + done, offset + bytes),
                      0);
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
  std::string text;
  as_input([&] {
    if (std::filesystem::is_directory(path))
      fail_usage("could not read {}: it is a folder, expected a file", path.string());
    text = read_text_file(path);
  });
  return text;
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
