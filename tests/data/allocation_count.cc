#include "tests/data/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

namespace {

std::atomic<std::thread::id> watched{};
std::atomic<int64_t> count{0};

}  // namespace

void* operator new(size_t bytes) {
  if (watched.load() == std::this_thread::get_id()) ++count;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace synthesizer::testing {

void count_allocations() {
  count = 0;
  watched = std::this_thread::get_id();
}

int64_t allocations_counted() {
  watched = std::thread::id();
  return count;
}

}  // namespace synthesizer::testing
