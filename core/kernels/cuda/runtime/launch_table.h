// Launches over many tensors at once: a table in device memory says for each what is to be done, and each block of the
// grid which of them it works for. The host's copy is pinned and goes along at each run, in one piece, however many
// tensors there are (arguments of a kernel have 4 KB).
#pragma once

#include <algorithm>
#include <cstring>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/runtime/cuda_device.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {

// The work of one block.
struct alignas(16) BlockPlace {
  int32_t entry, block, blocks;

  __device__ GridSlice slice() const { return {block, blocks}; }
};

// Of a table: entries, and the place of each block of a launch over them.
template <typename Entry>
struct LaunchSection {
  int64_t entries_at = 0, places_at = 0;  // bytes
  std::vector<BlockPlace> places;
  size_t count = 0;

  int64_t grid() const { return static_cast<int64_t>(places.size()); }
  const Entry* entries(const void* table) const {
    return reinterpret_cast<const Entry*>(static_cast<const std::byte*>(table) + entries_at);
  }
  const BlockPlace* blocks(const void* table) const {
    return reinterpret_cast<const BlockPlace*>(static_cast<const std::byte*>(table) + places_at);
  }
};

// Where everything lies in a table: a function of shapes alone.
class TableLayout {
 public:
  // Aligned to 16.
  int64_t take(int64_t bytes) {
    const int64_t at = bytes_;
    bytes_ += (bytes + 15) / 16 * 16;
    return at;
  }
  // As many blocks for each entry as are given, one at least.
  template <typename Entry>
  LaunchSection<Entry> exact_section(const std::vector<int64_t>& blocks) {
    LaunchSection<Entry> section;
    section.count = blocks.size();
    for (size_t i = 0; i < blocks.size(); ++i)
      for (int64_t block = 0; block < blocks[i]; ++block)
        section.places.push_back(
            {static_cast<int32_t>(i), static_cast<int32_t>(block), static_cast<int32_t>(blocks[i])});
    section.entries_at = take(static_cast<int64_t>(blocks.size() * sizeof(Entry)));
    section.places_at = take(static_cast<int64_t>(section.places.size() * sizeof(BlockPlace)));
    return section;
  }
  // `wanted`: how many would do of each entry, of a kernel that loops. Together they get no more than a few for each
  // place that the largest device has.
  template <typename Entry>
  LaunchSection<Entry> section(std::vector<int64_t> wanted) {
    constexpr int64_t kMost = 4 * 132 * 16;
    const int64_t all = std::accumulate(wanted.begin(), wanted.end(), int64_t{0});
    if (all > kMost)
      for (int64_t& blocks : wanted)
        blocks =
            std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(blocks) / static_cast<double>(all) * kMost));
    return exact_section<Entry>(wanted);
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

// A table on its way to the device.
class LaunchTable {
 public:
  LaunchTable(CudaDevice& device, int64_t bytes) : memory_(Storage::pinned(bytes, device)) {}

  // Whether it is still to be filled for the memory that a kernel is given. That is the same at each run of a program,
  // so that a captured run stays right; where it is another (in tests), the device is waited for, which may still read.
  bool begin(cudaStream_t stream, std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) {
    std::vector<void*> now(inputs.begin(), inputs.end());
    now.insert(now.end(), outputs.begin(), outputs.end());
    now.push_back(workspace);
    if (now == filled_for_) return false;
    if (!filled_for_.empty()) check(cudaStreamSynchronize(stream), "waiting for the GPU");
    filled_for_ = std::move(now);
    return true;
  }
  template <typename Entry>
  void put(const LaunchSection<Entry>& section, const std::vector<Entry>& entries) {
    CHECK(entries.size() == section.count, "a table of {} entries, expected {}", entries.size(), section.count);
    put(section.entries_at, entries.data(), entries.size() * sizeof(Entry));
    put(section.places_at, section.places.data(), section.places.size() * sizeof(BlockPlace));
  }
  void put(int64_t at, const void* data, size_t bytes) {
    if (bytes > 0) std::memcpy(memory_.data() + at, data, bytes);
  }
  void send(cudaStream_t stream, void* to) const {
    check(cudaMemcpyAsync(to, memory_.data(), static_cast<size_t>(memory_.bytes()), cudaMemcpyHostToDevice, stream),
          "copying a table to the GPU");
  }

 private:
  Storage memory_;
  std::vector<void*> filled_for_;
};

}  // namespace synthesizer::cuda
