// Memory that tensors live in: one allocation, 64-byte aligned, zeroed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace synthesizer {

inline constexpr int64_t kAlignment = 64;

constexpr int64_t align_up(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Owns `bytes` of host memory; move-only.
class Storage {
 public:
  Storage() = default;
  // Throws Error if the system has not that much.
  explicit Storage(int64_t bytes);
  ~Storage();
  Storage(Storage&& other) noexcept;
  Storage& operator=(Storage&& other) noexcept;

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace synthesizer
