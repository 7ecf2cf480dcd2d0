// What a product's result still needs where the library has not done it: a bias, relu, its gradient, masks, rounding.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/device/units.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/einsum.h"
#include "core/ops/functors.h"

namespace synthesizer::cuda {

// `To`: what the result is stored as. Null is what there is not to do.
template <typename To>
struct Finish {
  const To* bias = nullptr;
  int64_t bias_count = 1;
  bool relu = false;
  const To* gate = nullptr;             // of a relu's gradient: its result
  const unsigned char* kept = nullptr;  // or its mask
  unsigned char* above = nullptr;       // the mask to be written, of relu
  int64_t mask_bytes = 0;               // of a row

  bool has_work() const { return bias != nullptr || relu || gate != nullptr || kept != nullptr; }
  bool has_mask() const { return kept != nullptr || above != nullptr; }

  // Which of the bias the result's element at index `at` has.
  __device__ int64_t bias_of(int64_t at) const { return bias == nullptr ? 0 : row_and_column(at, bias_count).column; }
  // But for masks.
  template <typename C>
  __device__ C value(C x, int64_t at, int64_t bias_at) const {
    if (bias != nullptr) x += widened(bias[bias_at]);
    if (relu) x = functors::Relu<Math>::value<C>(x, 1, 0);
    if (gate != nullptr) x *= functors::Relu<Math>::derivative<C>(widened(gate[at]));
    return x;
  }
};

// A thread's elements: of a mask, the bits of a byte.
inline constexpr int kEight = 8;

template <bool kVector, typename T>
__device__ void load_eight(const T* from, T (&to)[kEight], int n) {
  if constexpr (kVector) {
    for (int p = 0; p < kEight; p += kPack<T>) {
      const auto pack = *reinterpret_cast<const Pack<T, kPack<T>>*>(from + p);
      for (int j = 0; j < kPack<T>; ++j) to[p + j] = pack.at[j];
    }
  } else {
    for (int j = 0; j < kEight; ++j)
      if (j < n) to[j] = from[j];
  }
}
template <bool kVector, typename T>
__device__ void store_eight(const T (&from)[kEight], T* to, int n) {
  if constexpr (kVector) {
    for (int p = 0; p < kEight; p += kPack<T>) {
      Pack<T, kPack<T>> pack;
      for (int j = 0; j < kPack<T>; ++j) pack.at[j] = from[p + j];
      *reinterpret_cast<Pack<T, kPack<T>>*>(to + p) = pack;
    }
  } else {
    for (int j = 0; j < kEight; ++j)
      if (j < n) to[j] = from[j];
  }
}

// [rows, columns]; in place where From is To. Eight neighbours a thread: 16 bytes of bfloat16, a byte of a mask.
template <typename From, typename To, bool kVector>
__global__ void finish_product_kernel(const From* sums, Finish<To> finish, To* c, int64_t rows, int64_t columns) {
  const int64_t octets = (columns + kEight - 1) / kEight;
  for (int64_t i = thread_of_grid(); i < rows * octets; i += threads_of_grid()) {
    const auto [row, octet] = row_and_column(i, octets);
    const int64_t at = row * columns + octet * kEight;
    const int n = kVector ? kEight : static_cast<int>(std::min<int64_t>(kEight, columns - octet * kEight));
    From x[kEight];
    To y[kEight];
    load_eight<kVector>(sums + at, x, n);
    const int64_t byte = row * finish.mask_bytes + octet;
    const unsigned kept = finish.kept != nullptr ? finish.kept[byte] : 0xFFu;
    unsigned above = 0;
    int64_t bias_at = finish.bias_of(at);
    for (int j = 0; j < kEight; ++j) {
      if (j >= n) break;
      y[j] = (kept >> j & 1u) != 0 ? rounded<To>(finish.value(widened(x[j]), at + j, bias_at)) : To();
      if (++bias_at == finish.bias_count) bias_at = 0;
      above |= (widened(y[j]) > 0 ? 1u : 0u) << j;
    }
    store_eight<kVector>(y, c + at, n);
    if (finish.above != nullptr) finish.above[byte] = static_cast<unsigned char>(above);
  }
}

// Of `count` elements; with a mask `columns` are a row.
template <typename From, typename To>
void finish_product(cudaStream_t stream, const From* sums, const Finish<To>& finish, To* c, int64_t count,
                    int64_t columns) {
  if (!finish.has_mask()) columns = count;
  const int64_t rows = count / columns, octets = (columns + kEight - 1) / kEight;
  const Grid grid{"finish_product_kernel", blocks_for(rows * octets)};
  if (columns % kEight == 0)
    launch(stream, grid, finish_product_kernel<From, To, true>, sums, finish, c, rows, columns);
  else
    launch(stream, grid, finish_product_kernel<From, To, false>, sums, finish, c, rows, columns);
}

}  // namespace synthesizer::cuda
