// Who takes which elements of the rows that are normalised: a warp has a row of at most 1024, a block a longer one.
#pragma once

#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {

template <int kPacked, typename T>
__device__ inline Pack<T, kPacked> load_pack(const T* x) {
  return *reinterpret_cast<const Pack<T, kPacked>*>(x);
}
template <int kPacked, typename T>
__device__ inline void store_pack(const Pack<T, kPacked>& from, T* y) {
  *reinterpret_cast<Pack<T, kPacked>*>(y) = from;
}

// Threads that have a row together. Rows are those of one team after the other; next_row() is called behind each.
struct WarpTeam {
  static constexpr int64_t kSharedBytes = 0;
  static constexpr int kBlock = 64;  // threads: few, so that few rows are shared by many multiprocessors
  static constexpr int kTeams = kBlock / kWarp;
  static int64_t blocks(int64_t rows) { return blocks_for(rows * kWarp, kBlock); }
  __device__ int64_t first_row() const { return thread_of_grid() / kWarp; }
  __device__ int64_t rows_apart() const { return threads_of_grid() / kWarp; }
  __device__ int team() const { return static_cast<int>(threadIdx.x) / kWarp; }
  __device__ int rank() const { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ int size() const { return kWarp; }
  __device__ double sum(double value) const { return warp_reduce<Sum>(value); }
  __device__ void next_row() const {}
};

struct WholeBlock {
  static constexpr int64_t kSharedBytes = kThreads / kWarp * 8;  // what follows is aligned to 16
  static constexpr int kBlock = kThreads, kTeams = 1;
  static int64_t blocks(int64_t rows) { return blocks_for(rows, 1); }
  __device__ int64_t first_row() const { return blockIdx.x; }
  __device__ int64_t rows_apart() const { return gridDim.x; }
  __device__ int team() const { return 0; }
  __device__ int rank() const { return static_cast<int>(threadIdx.x); }
  __device__ int size() const { return static_cast<int>(blockDim.x); }
  // Of the first kSharedBytes of shared memory.
  __device__ double sum(double value) const {
    return block_reduce<Sum>(value, 0.0, reinterpret_cast<double*>(shared_memory()));
  }
  __device__ void next_row() const { __syncthreads(); }  // all have read the sum
};

// visit.operator()<Team, kPacked>() for rows of this length.
template <typename T, typename Visit>
void by_row_length(int64_t length, const Visit& visit) {
  constexpr int64_t kOfWarp = 1024;
  const bool packed = length % kPack<T> == 0;
  if (length <= kOfWarp)
    packed ? visit.template operator()<WarpTeam, kPack<T>>() : visit.template operator()<WarpTeam, 1>();
  else
    packed ? visit.template operator()<WholeBlock, kPack<T>>() : visit.template operator()<WholeBlock, 1>();
}

}  // namespace synthesizer::cuda
