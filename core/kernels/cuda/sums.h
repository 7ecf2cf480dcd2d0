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

// The first `n` (0 to 4) of four elements side by side, 0 behind them: at once where they are all there and aligned.
template <typename T>
__device__ inline Four<T> load_four(const T* x, int n) {
  if (n == kFour && reinterpret_cast<uintptr_t>(x) % sizeof(Four<T>) == 0) return *reinterpret_cast<const Four<T>*>(x);
  Four<T> read = {};
  for (int j = 0; j < kFour; ++j)
    if (j < n) read.at[j] = x[j];
  return read;
}
template <typename T>
__device__ inline void store_four(const Four<T>& from, T* y, int n) {
  if (n == kFour && reinterpret_cast<uintptr_t>(y) % sizeof(Four<T>) == 0) {
    *reinterpret_cast<Four<T>*>(y) = from;
    return;
  }
  for (int j = 0; j < kFour; ++j)
    if (j < n) y[j] = from.at[j];
}

// How many of four elements from `at` on are within `length`.
__device__ inline int within(int64_t at, int64_t length) {
  const int64_t left = length - at;
  return left >= kFour ? kFour : left > 0 ? static_cast<int>(left) : 0;
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
