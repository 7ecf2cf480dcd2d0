#include "tests/support/file_faults.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace synthesizer {
namespace {

std::atomic<bool> armed{false};
std::atomic<Fault> armed_fault{Fault::kNone};
std::atomic<int64_t> armed_call{0};
std::atomic<int64_t> counted{0};

enum class Verdict { kPass, kHalfThenKill, kFail };

// Sets errno where the verdict is kFail.
Verdict judge(bool needs_space, bool writes) {
  if (!armed) return Verdict::kPass;
  const int64_t call = ++counted;
  const Fault fault = armed_fault;
  if (fault == Fault::kDiskFull && call >= armed_call && needs_space) {
    errno = ENOSPC;
    return Verdict::kFail;
  }
  if (call != armed_call) return Verdict::kPass;
  if (fault == Fault::kKillHalf && writes) return Verdict::kHalfThenKill;
  if (fault == Fault::kKill || fault == Fault::kKillHalf) ::kill(::getpid(), SIGKILL);
  if (fault != Fault::kIoError) return Verdict::kPass;
  errno = EIO;
  return Verdict::kFail;
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

FileFaults::FileFaults(Fault fault, int64_t at_call) {
  armed_fault = fault;
  armed_call = at_call;
  counted = 0;
  armed = true;
}

FileFaults::~FileFaults() { armed = false; }

int64_t FileFaults::calls() const { return counted; }

}  // namespace synthesizer

using synthesizer::judge;
using synthesizer::next;
using synthesizer::Verdict;

extern "C" {

ssize_t pwrite(int descriptor, const void* data, size_t bytes, off_t offset) {
  static const auto real = next<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  const Verdict verdict = judge(true, true);
  if (verdict == Verdict::kFail) return -1;
  if (verdict == Verdict::kHalfThenKill) {
    real(descriptor, data, bytes / 2, offset);
    ::kill(::getpid(), SIGKILL);
  }
  return real(descriptor, data, bytes, offset);
}

ssize_t write(int descriptor, const void* data, size_t bytes) {
  static const auto real = next<ssize_t(int, const void*, size_t)>("write");
  if (descriptor <= STDERR_FILENO) return real(descriptor, data, bytes);
  const Verdict verdict = judge(true, true);
  if (verdict == Verdict::kFail) return -1;
  if (verdict == Verdict::kHalfThenKill) {
    real(descriptor, data, bytes / 2);
    ::kill(::getpid(), SIGKILL);
  }
  return real(descriptor, data, bytes);
}

int fsync(int descriptor) {
  static const auto real = next<int(int)>("fsync");
  if (judge(false, false) == Verdict::kFail) return -1;
  return synthesizer::armed ? 0 : real(descriptor);
}

int ftruncate(int descriptor, off_t bytes) noexcept {
  static const auto real = next<int(int, off_t)>("ftruncate");
  return judge(false, false) == Verdict::kFail ? -1 : real(descriptor, bytes);
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = next<int(const char*, const char*)>("rename");
  return judge(false, false) == Verdict::kFail ? -1 : real(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  static const auto real = next<int(int, const char*, int, const char*, unsigned)>("renameat2");
  return judge(false, false) == Verdict::kFail ? -1 : real(from_folder, from, to_folder, to, flags);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto real = next<int(const char*, mode_t)>("mkdir");
  return judge(true, false) == Verdict::kFail ? -1 : real(path, mode);
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  static const auto real = next<int(int, const char*, int)>("unlinkat");
  return judge(false, false) == Verdict::kFail ? -1 : real(folder, path, flags);
}
}
