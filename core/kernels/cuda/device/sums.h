// The steps of a reduction (core/kernels/cuda/reduce_plan.h says in what order).
#pragma once

#include "core/kernels/cuda/reduce_plan.h"

namespace synthesizer::cuda {

struct AddUp {
  static __device__ double start() { return 0; }
  static __device__ double take(double sum, double x) { return sum + x; }
  static __device__ double join(double a, double b) { return a + b; }
};
struct AddSquares {
  static __device__ double start() { return 0; }
  static __device__ double take(double sum, double x) { return fma(x, x, sum); }
  static __device__ double join(double a, double b) { return a + b; }
};
struct TakeLargest {
  static __device__ double start() { return minus_infinity<double>(); }
  static __device__ double take(double most, double x) { return Largest::of(most, x); }
  static __device__ double join(double a, double b) { return Largest::of(a, b); }
};

template <typename T>
using Four = Pack<T, kFour>;

// The first `n` (0 to kCount) of elements side by side, 0 behind them: at once where they are all there and aligned.
template <int kCount, typename T>
__device__ inline Pack<T, kCount> load_some(const T* x, int n) {
  using Values = Pack<T, kCount>;
  if (n == kCount && reinterpret_cast<uintptr_t>(x) % sizeof(Values) == 0) return *reinterpret_cast<const Values*>(x);
  Values read = {};
  for (int j = 0; j < kCount; ++j)
    if (j < n) read.at[j] = x[j];
  return read;
}
template <int kCount, typename T>
__device__ inline void store_some(const Pack<T, kCount>& from, T* y, int n) {
  if (n == kCount && reinterpret_cast<uintptr_t>(y) % sizeof(from) == 0) {
    *reinterpret_cast<Pack<T, kCount>*>(y) = from;
    return;
  }
  for (int j = 0; j < kCount; ++j)
    if (j < n) y[j] = from.at[j];
}
template <typename T>
__device__ inline Four<T> load_four(const T* x, int n) {
  return load_some<kFour>(x, n);
}

// How many of kCount elements from `at` on are within `length`.
template <int kCount = kFour>
__device__ inline int within(int64_t at, int64_t length) {
  const int64_t left = length - at;
  return left >= kCount ? kCount : left > 0 ? static_cast<int>(left) : 0;
}

// One lane's part of a tile.
template <typename F, typename T>
__device__ inline double lane_sum(const Four<T>& x, int n) {
  double sum = F::start();
  for (int j = 0; j < kFour; ++j)
    if (j < n) sum = F::take(sum, static_cast<double>(widened(x.at[j])));
  return sum;
}

// Of `lanes` neighbouring lanes (a power of two), on each of them; all lanes of the warp call it. Lanes that have
// nothing would change nothing, so a short row in a few lanes has the bits of one in all.
template <typename F>
__device__ inline double tile_sum(double value, int lanes) {
  if (lanes == kWarp) {
    for (int apart = kWarp / 2; apart > 0; apart /= 2) value = F::join(value, __shfl_xor_sync(kAllLanes, value, apart));
    return value;
  }
  for (int apart = lanes / 2; apart > 0; apart /= 2) value = F::join(value, __shfl_xor_sync(kAllLanes, value, apart));
  return value;
}

}  // namespace synthesizer::cuda
