#include "tests/support/temporary_disk.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

void must(bool done, const std::string& what) {
  if (!done)
    throw std::runtime_error("this test needs a disk of its own, but could not " + what + ": " + std::strerror(errno));
}

// Mounts of this process are its own from here on. A user other than root gets a namespace in which it is root.
void leave_common_mounts() {
  static const bool left = [] {
    const uid_t user = ::geteuid();
    const gid_t group = ::getegid();
    must(::unshare(CLONE_NEWNS | (user == 0 ? 0 : CLONE_NEWUSER)) == 0, "make a mount namespace");
    if (user != 0) {
      std::ofstream("/proc/self/setgroups") << "deny";
      std::ofstream("/proc/self/uid_map") << "0 " + std::to_string(user) + " 1";
      std::ofstream("/proc/self/gid_map") << "0 " + std::to_string(group) + " 1";
    }
    must(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make its mounts private");
    return true;
  }();
  (void)left;
}

std::string size_option(int64_t bytes) { return "size=" + std::to_string(bytes); }

}  // namespace

TemporaryDisk::TemporaryDisk(fs::path folder, int64_t bytes) : folder_(std::move(folder)) {
  leave_common_mounts();
  must(::mount("none", folder_.c_str(), "tmpfs", 0, size_option(bytes).c_str()) == 0, "mount a tmpfs");
}

TemporaryDisk::~TemporaryDisk() { ::umount2(folder_.c_str(), MNT_DETACH); }

void TemporaryDisk::resize(int64_t bytes) const {
  must(::mount("none", folder_.c_str(), "tmpfs", MS_REMOUNT, size_option(bytes).c_str()) == 0, "resize a tmpfs");
}

void TemporaryDisk::set_read_only() const {
  must(::mount("none", folder_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) == 0, "make a tmpfs read-only");
}

int64_t TemporaryDisk::free() const { return static_cast<int64_t>(fs::space(folder_).available); }

void TemporaryDisk::leave(int64_t bytes) const {
  const fs::path ballast = folder_ / "ballast";
  fs::remove(ballast);
  const int64_t excess = free() - bytes;
  if (excess <= 0) return;
  std::ofstream(ballast, std::ios::binary) << std::string(static_cast<size_t>(excess), 'x');
}

}  // namespace synthesizer
