// What this process asks the allocator for, seen between the program and the C library: the source beside this header
// defines malloc, operator new and their like, and hands them on. Linked into a test, it is what the program and all
// its libraries call.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace synthesizer {

struct AllocatedBlock {
  size_t bytes;
  void* caller;
  pthread_t thread;
  bool aligned;  // asked for by posix_memalign: Storage, and nothing else of the program
};

struct Allocations {
  std::vector<AllocatedBlock> own;  // by the program's code, or by the C++ library for it
  int64_t of_libraries = 0;         // how many by all other libraries
  int64_t bytes_of_libraries = 0;
};

// From now on every thread's allocations are kept. Not while they are kept already.
void keep_allocations();
// Ends that. Throws Error if there were more than could be kept.
Allocations kept_allocations();

// "12 bytes at 0x3456" each, a line: an offset in the program, for addr2line.
std::string describe(const std::vector<AllocatedBlock>& allocations);

}  // namespace synthesizer
