// POSIX files by descriptor: whole reads and writes at offsets, synced folders, atomic replacement of small files.
// Every failure is a FileError that names the path and the system's reason; a full disk also says what to free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace synthesizer {

// What the system says of a file.
class FileError : public Error {
 public:
  FileError(const std::string& message, int number) : Error(message), number_(number) {}
  // errno; 0: the file ends early.
  int number() const { return number_; }

 private:
  int number_;
};

// Owns a descriptor; move-only.
class File {
 public:
  File() = default;
  // `flags` as open(2) takes them (O_CLOEXEC is added); new files get mode 0666 less the umask.
  File(std::filesystem::path path, int flags);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  int descriptor() const { return descriptor_; }
  const std::filesystem::path& path() const { return path_; }
  int64_t size() const;
  void resize(int64_t bytes) const;
  // The whole range or an Error; a file that ends early is one too.
  void read_at(int64_t offset, void* out, int64_t bytes) const;
  void write_at(int64_t offset, const void* data, int64_t bytes) const;
  // At the descriptor's position: the end, for files opened with O_APPEND.
  void append(std::string_view text) const;
  void sync() const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Throws FileError "could not {action} {path}: {reason}" for this errno, with what to do about a full disk or quota.
[[noreturn]] void fail_errno(int error, std::string_view action, const std::filesystem::path& path);

// Runs what looks at a user's files before anything is started: where the system does not let it, that is a UsageError.
// Not so a full disk, which is no fault of the input.
void as_input(const std::function<void()>& action);
// UsageError "{what} {path}: …" unless files can be made in the folder, or the folder itself where it is not there yet.
void require_writable(std::string_view what, const std::filesystem::path& folder);

std::string read_text_file(const std::filesystem::path& path);
// The same for what a user gives: a file that cannot be read is a UsageError.
std::string read_input_file(const std::filesystem::path& path);
// Written beside, synced, renamed: readers see the old text or the new one, never a part.
void replace_text_file(const std::filesystem::path& path, std::string_view text);
// The name a file has until it is whole: "part-00000.h5.partial".
std::filesystem::path partial_name(const std::filesystem::path& path);
// Brings a finished file, written under partial_name(path), to disk and to its name.
void commit_partial(const std::filesystem::path& path);
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);
// So that names made, renamed or removed in the folder survive a power cut.
void sync_folder(const std::filesystem::path& folder);

}  // namespace synthesizer
