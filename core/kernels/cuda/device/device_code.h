// What every kernel of CUDA is written with. The sources are CUDA C++; tests compile them too, for the CPU, against a
// small shim of the launch syntax (tests/support/cuda_shim), which <cuda_runtime.h> is then.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/tensor/bfloat16.h"
#include "core/tensor/dtype.h"

namespace synthesizer::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFu;

// The block's shared memory, of the bytes that the launch asked for, aligned to 16; every call gives the same.
__device__ inline unsigned char* shared_memory() {
#ifdef __CUDACC__
  extern __shared__ __align__(16) unsigned char memory[];
  return memory;
#else
  return static_cast<unsigned char*>(cuda_shim::dynamic_shared());
#endif
}

// This thread among all of the grid, and how many there are: for loops over elements, strided by the grid.
__device__ inline int64_t thread_of_grid() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t threads_of_grid() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// The blocks of a grid that do one piece of work, and which of them this is.
struct GridSlice {
  int64_t block, blocks;

  __device__ int64_t thread() const { return block * blockDim.x + threadIdx.x; }
  __device__ int64_t threads() const { return blocks * blockDim.x; }
};
__device__ inline GridSlice whole_grid() { return {blockIdx.x, gridDim.x}; }

// The functions that core/ops/functors.h is a template over.
struct Math {
  static __device__ float exp(float x) { return expf(x); }
  static __device__ double exp(double x) { return ::exp(x); }
  static __device__ float log(float x) { return logf(x); }
  static __device__ double log(double x) { return ::log(x); }
  static __device__ float sqrt(float x) { return sqrtf(x); }
  static __device__ double sqrt(double x) { return ::sqrt(x); }
  static __device__ float tanh(float x) { return tanhf(x); }
  static __device__ double tanh(double x) { return ::tanh(x); }
};

template <typename T>
__device__ inline T minus_infinity() {
  return -static_cast<T>(INFINITY);
}

struct Sum {
  template <typename T>
  __device__ static T of(T a, T b) {
    return a + b;
  }
};
struct Largest {  // NaN if either is
  template <typename T>
  __device__ static T of(T a, T b) {
    return a > b || a != a ? a : b;
  }
};

// Of the values of all lanes of a warp, on every lane; all lanes call it. In the same order at each run.
template <typename Combine, typename T>
__device__ inline T warp_reduce(T value) {
  for (int apart = kWarp / 2; apart > 0; apart /= 2)
    value = Combine::of(value, __shfl_xor_sync(kAllLanes, value, apart));
  return value;
}

// Of the values of all threads of a block (whole warps, at most 32), on every thread; all threads call it. `space`:
// shared, an element a warp; it may be used again once all threads have passed another barrier.
template <typename Combine, typename T>
__device__ inline T block_reduce(T value, T nothing, T* space) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  value = warp_reduce<Combine>(value);
  if (lane == 0) space[warp] = value;
  __syncthreads();
  return warp_reduce<Combine>(lane < warps ? space[lane] : nothing);
}

// kCount elements that lie side by side, read and written at once; aligned to their size.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T at[kCount];
};
// As many elements as 16 bytes hold.
template <typename T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

}  // namespace synthesizer::cuda
