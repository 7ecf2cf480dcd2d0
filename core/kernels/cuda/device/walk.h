// core/kernels/geometry.h on the device: from an element's index in an index space to where each tensor has it.
#pragma once

#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/geometry.h"

namespace synthesizer::cuda {

// kCount tensors of a merged Walk.
template <int kCount>
class DeviceWalk {
 public:
  DeviceWalk() = default;
  explicit DeviceWalk(const Walk& walk) : rank_(walk.rank), short_(walk.count() <= 0xFFFFFFFFll) {
    for (int d = 0; d < rank_; ++d) {
      size_[d] = walk.size[d];
      for (int t = 0; t < kCount; ++t) stride_[t][d] = walk.stride[t][d];
    }
  }

  // The first of another's tensors.
  template <int kMore>
  explicit DeviceWalk(const DeviceWalk<kMore>& other) : rank_(other.rank_), short_(other.short_) {
    static_assert(kMore > kCount);
    for (int d = 0; d < rank_; ++d) {
      size_[d] = other.size_[d];
      for (int t = 0; t < kCount; ++t) stride_[t][d] = other.stride_[t][d];
    }
  }

  // In elements. (Division of 32 bits is several times as fast as that of 64.)
  __device__ void offsets(int64_t index, int64_t (&at)[kCount]) const {
    if (short_)
      walk(static_cast<uint32_t>(index), at);
    else
      walk(static_cast<uint64_t>(index), at);
  }
  __device__ int64_t offset(int64_t index) const {
    int64_t at[kCount];
    offsets(index, at);
    return at[0];
  }

 private:
  template <int kOther>
  friend class DeviceWalk;

  template <typename Index>
  __device__ void walk(Index index, int64_t (&at)[kCount]) const {
    for (int t = 0; t < kCount; ++t) at[t] = 0;
    for (int d = rank_ - 1; d > 0; --d) {
      const Index size = static_cast<Index>(size_[d]), rest = index / size;
      const auto i = static_cast<int64_t>(index - rest * size);
      index = rest;
      for (int t = 0; t < kCount; ++t) at[t] += i * stride_[t][d];
    }
    if (rank_ == 0) return;
    for (int t = 0; t < kCount; ++t) at[t] += static_cast<int64_t>(index) * stride_[t][0];
  }

  int rank_ = 0;
  bool short_ = true;
  int64_t size_[Walk::kMaxRank];
  int64_t stride_[kCount][Walk::kMaxRank];
};

}  // namespace synthesizer::cuda
