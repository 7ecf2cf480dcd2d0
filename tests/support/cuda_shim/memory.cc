// Device memory and pinned memory, which are both of the heap, and copies between them.
#include <algorithm>
#include <cstring>
#include <map>
#include <new>

#include "tests/support/cuda_shim/include/cuda_shim/host_api.h"
#include "tests/support/cuda_shim/runtime.h"

using cuda_shim::check_driver;
using cuda_shim::check_no_capture;
using cuda_shim::note;
using cuda_shim::state_mutex;
using cuda_shim::Waits;

namespace {

constexpr std::align_val_t kAlignment{256};

// Blocks that have been given out, by their addresses.
class Blocks {
 public:
  void add(void* memory, size_t bytes) {
    sizes_[reinterpret_cast<uintptr_t>(memory)] = bytes;
    total_ += bytes;
  }
  bool remove(void* memory) {
    const auto found = sizes_.find(reinterpret_cast<uintptr_t>(memory));
    if (found == sizes_.end()) return false;
    total_ -= found->second;
    sizes_.erase(found);
    return true;
  }
  // Whether the bytes at `memory` lie in one block.
  bool hold(const void* memory, size_t bytes) const {
    const auto at = reinterpret_cast<uintptr_t>(memory);
    auto after = sizes_.upper_bound(at);
    if (after == sizes_.begin()) return false;
    --after;
    return at - after->first < after->second && bytes <= after->second - (at - after->first);
  }
  size_t count() const { return sizes_.size(); }
  size_t total() const { return total_; }

 private:
  std::map<uintptr_t, size_t> sizes_;
  size_t total_ = 0;
};

// Of all that follows: state_mutex().
Blocks& device_blocks() {
  static Blocks blocks;
  return blocks;
}
Blocks& pinned_blocks() {
  static Blocks blocks;
  return blocks;
}

cudaError_t check_copy(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (bytes == 0) return cudaSuccess;
  if (to == nullptr || from == nullptr) return cudaErrorInvalidValue;
  const std::lock_guard lock(state_mutex());
  const auto right = [&](const void* memory, bool device) {
    return device ? device_blocks().hold(memory, bytes) : !device_blocks().hold(memory, 1);
  };
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault && !(right(to, to_device) && right(from, from_device))) return cudaErrorInvalidValue;
  return cudaSuccess;
}

cudaError_t check_set(const void* to, size_t bytes) {
  if (bytes == 0) return cudaSuccess;
  const std::lock_guard lock(state_mutex());
  return device_blocks().hold(to, bytes) || pinned_blocks().hold(to, bytes) ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace

namespace cuda_shim {

LiveMemory live_memory() {
  const std::lock_guard lock(state_mutex());
  return {static_cast<int64_t>(device_blocks().total()), static_cast<int64_t>(device_blocks().count()),
          static_cast<int64_t>(pinned_blocks().count())};
}

}  // namespace cuda_shim

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (free == nullptr || total == nullptr) return note(cudaErrorInvalidValue);
  const std::lock_guard lock(state_mutex());
  *total = cuda_shim::settings().device_memory;
  *free = *total - std::min(*total, device_blocks().total());
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (pointer == nullptr) return note(cudaErrorInvalidValue);
  if (const cudaError_t error = check_no_capture(Waits::kAllocates); error != cudaSuccess) return note(error);
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  void* memory = nullptr;
  {
    const std::lock_guard lock(state_mutex());
    cuda_shim::Settings& settings = cuda_shim::settings();
    const bool fails = settings.failing_allocation > 0 && --settings.failing_allocation == 0;
    const size_t used = device_blocks().total();
    if (fails || used > settings.device_memory || bytes > settings.device_memory - used)
      return note(cudaErrorMemoryAllocation);
    memory = ::operator new(bytes, kAlignment, std::nothrow);
    if (memory == nullptr) return note(cudaErrorMemoryAllocation);
    device_blocks().add(memory, bytes);
  }
  std::memset(memory, 0xFF, bytes);
  *pointer = memory;
  return cudaSuccess;
}

cudaError_t cudaFree(void* pointer) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t error = check_no_capture(Waits::kAllocates); error != cudaSuccess) return note(error);
  {
    const std::lock_guard lock(state_mutex());
    if (!device_blocks().remove(pointer)) return note(cudaErrorInvalidValue);
  }
  ::operator delete(pointer, kAlignment);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes, unsigned flags) {
  return cudaHostAlloc(pointer, bytes, flags);
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (pointer == nullptr) return note(cudaErrorInvalidValue);
  if (const cudaError_t error = check_no_capture(Waits::kAllocates); error != cudaSuccess) return note(error);
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  void* memory = ::operator new(bytes, kAlignment, std::nothrow);
  if (memory == nullptr) return note(cudaErrorMemoryAllocation);
  const std::lock_guard lock(state_mutex());
  pinned_blocks().add(memory, bytes);
  *pointer = memory;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t error = check_no_capture(Waits::kAllocates); error != cudaSuccess) return note(error);
  {
    const std::lock_guard lock(state_mutex());
    if (!pinned_blocks().remove(pointer)) return note(cudaErrorInvalidValue);
  }
  ::operator delete(pointer, kAlignment);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (const cudaError_t error = check_no_capture(Waits::kDevice); error != cudaSuccess) return note(error);
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (const cudaError_t error = check_copy(to, from, bytes, kind); error != cudaSuccess) return note(error);
  return cuda_shim::submit(stream, [=] {
    if (bytes > 0) std::memmove(to, from, bytes);
  });
}

cudaError_t cudaMemset(void* to, int byte, size_t bytes) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (const cudaError_t error = check_no_capture(Waits::kDevice); error != cudaSuccess) return note(error);
  return cudaMemsetAsync(to, byte, bytes, nullptr);
}

cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t stream) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (const cudaError_t error = check_set(to, bytes); error != cudaSuccess) return note(error);
  return cuda_shim::submit(stream, [=] {
    if (bytes > 0) std::memset(to, byte, bytes);
  });
}
