#include "core/tensor/storage.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/tensor/device.h"

namespace synthesizer {

namespace {

constexpr int64_t kHugePage = 2 << 20;

}  // namespace

Storage::Storage(int64_t bytes, Device* device) : bytes_(bytes), device_(device) {
  if (bytes == 0) return;
  if (device != nullptr) {
    data_ = device->allocate(align_up(bytes));
    return;
  }
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

Storage Storage::pinned(int64_t bytes, Device& device) {
  Storage storage;
  if (bytes == 0) return storage;
  storage.data_ = device.allocate_pinned(align_up(bytes));
  storage.bytes_ = bytes;
  storage.device_ = &device;
  storage.pinned_ = true;
  return storage;
}

Storage::~Storage() {
  if (data_ == nullptr) return;
  if (pinned_)
    device_->release_pinned(data_);
  else if (device_ != nullptr)
    device_->release(data_);
  else
    std::free(data_);
}

Storage::Storage(Storage&& other) noexcept { *this = std::move(other); }

Storage& Storage::operator=(Storage&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(device_, other.device_);
  std::swap(pinned_, other.pinned_);
  return *this;
}

}  // namespace synthesizer
