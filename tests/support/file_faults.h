// Counts the calls of this program that change files, and makes a chosen one of them kill the process or fail: the test
// program defines pwrite, write, fsync, ftruncate, rename, renameat2, mkdir and unlinkat itself and passes them on.
#pragma once

#include <cstdint>

namespace synthesizer {

enum class Fault {
  kNone,
  kKill,      // SIGKILL before the call
  kKillHalf,  // SIGKILL after half of a write; before the call, where it is another
  kDiskFull,  // this call and every later one that needs space fail with ENOSPC
  kIoError,   // this call alone fails with EIO
};

// Armed for as long as it lives; one at a time. Calls are counted from 1. While it is armed fsync leaves the disk
// alone: a killed process loses nothing that it had written, synced or not.
class FileFaults {
 public:
  FileFaults(Fault fault, int64_t at_call);
  ~FileFaults();
  FileFaults(const FileFaults&) = delete;
  FileFaults& operator=(const FileFaults&) = delete;

  // Counted since construction.
  int64_t calls() const;
};

}  // namespace synthesizer
