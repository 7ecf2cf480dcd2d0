// Memory that tensors live in: one allocation, 64-byte aligned, zeroed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace synthesizer {

class Device;

inline constexpr int64_t kAlignment = 64;

constexpr int64_t align_up(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Owns `bytes` of memory; move-only.
class Storage {
 public:
  Storage() = default;
  // Of the host, or of `device`, which outlives it. Throws Error if there is not that much.
  explicit Storage(int64_t bytes, Device* device = nullptr);
  // Of the host, for the device to copy by itself (Device::allocate_pinned).
  static Storage pinned(int64_t bytes, Device& device);
  ~Storage();
  Storage(Storage&& other) noexcept;
  Storage& operator=(Storage&& other) noexcept;

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  // Whose memory it is; null: the host's.
  Device* device() const { return pinned_ ? nullptr : device_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  Device* device_ = nullptr;  // that it goes back to
  bool pinned_ = false;
};

}  // namespace synthesizer
