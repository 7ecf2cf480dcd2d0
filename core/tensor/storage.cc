#include "core/tensor/storage.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/base/error.h"

namespace synthesizer {

namespace {

constexpr int64_t kHugePage = 2 << 20;

}  // namespace

Storage::Storage(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  const bool huge = bytes >= 2 * kHugePage;
  void* memory = nullptr;  // aligned_alloc takes whole multiples of the alignment alone
  if (posix_memalign(&memory, static_cast<size_t>(huge ? kHugePage : kAlignment),
                     static_cast<size_t>(align_up(bytes))) != 0)
    fail("out of memory: could not allocate {} bytes", bytes);
  data_ = static_cast<std::byte*>(memory);
  // Kernels walk through matrices by rows that lie a page and more apart: with small pages each of these is an address
  // to look up. Where the system gives no huge pages the memory is the same, and slower.
  if (huge) madvise(data_, static_cast<size_t>(bytes / kHugePage * kHugePage), MADV_HUGEPAGE);
  std::memset(data_, 0, static_cast<size_t>(bytes));
}

Storage::~Storage() { std::free(data_); }

Storage::Storage(Storage&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Storage& Storage::operator=(Storage&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace synthesizer
