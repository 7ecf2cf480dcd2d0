// A small disk of a test's own: a tmpfs that this process and its children alone see, so that nothing of it can stay
// behind. Needs root, or a system that lets users make namespaces of their own; where neither is so it throws, and the
// test fails with the reason.
#pragma once

#include <cstdint>
#include <filesystem>

namespace synthesizer {

class TemporaryDisk {
 public:
  // Mounts it on the folder, which is there.
  TemporaryDisk(std::filesystem::path folder, int64_t bytes);
  ~TemporaryDisk();
  TemporaryDisk(const TemporaryDisk&) = delete;
  TemporaryDisk& operator=(const TemporaryDisk&) = delete;

  const std::filesystem::path& path() const { return folder_; }
  // What is on it stays.
  void resize(int64_t bytes) const;
  void set_read_only() const;
  // Bytes that are left.
  int64_t free() const;
  // Leaves about so many bytes, in whole pages, by a file "ballast" that takes the rest; another call replaces it.
  void leave(int64_t bytes) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace synthesizer
