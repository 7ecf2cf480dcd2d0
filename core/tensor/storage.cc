#include "core/tensor/storage.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/base/error.h"

namespace synthesizer {

Storage::Storage(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  data_ = static_cast<std::byte*>(std::aligned_alloc(kAlignment, static_cast<size_t>(align_up(bytes))));
  if (data_ == nullptr) fail("out of memory: could not allocate {} bytes", bytes);
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
