// Rows of a shared alignment, a warp each: where nearly all of a row's weight is on masked keys, its divisor D
// underflows, and the row is computed from the logits with the maximum of its own keys.
#pragma once

#include "core/kernels/cuda/attention/shared_sizes.h"
#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/kernels/shared_products.h"

namespace synthesizer::cuda {

// S [heads, length, memory], V [batch, memory, heads, head], key_mask [batch, memory].
template <typename T>
struct SharedArguments {
  using C = Compute<T>;

  __device__ int64_t value(int b, int j, int h) const {
    return ((static_cast<int64_t>(b) * memory + j) * heads + h) * head;
  }
  __device__ int64_t row(int b, int i, int h) const { return (static_cast<int64_t>(b) * length + i) * heads + h; }
  __device__ const C* logits_row(int h, int i) const {
    return logits + (static_cast<int64_t>(h) * length + i) * memory;
  }
  __device__ const int32_t* mask_row(int b) const { return mask + static_cast<int64_t>(b) * memory; }
  // How many keys query i may look at.
  __device__ int seen(int i) const { return causal && i + 1 < memory ? i + 1 : memory; }

  const C* logits;
  const T* values;
  const int32_t* mask;
  int batch, heads, length, memory, head, columns;
  bool causal;
};

template <typename T>
SharedArguments<T> shared_arguments(const SharedSizes& s, bool causal, const void* logits, const void* values,
                                    const void* mask) {
  return {static_cast<const Compute<T>*>(logits),
          static_cast<const T*>(values),
          static_cast<const int32_t*>(mask),
          static_cast<int>(s.batch),
          static_cast<int>(s.heads),
          static_cast<int>(s.length),
          static_cast<int>(s.memory),
          static_cast<int>(s.head),
          static_cast<int>(s.columns),
          causal};
}

// Below this the weights that make up D may be denormal numbers, which have lost digits. (NaN goes with the others.)
template <typename C>
__device__ inline bool underflows(C divisor) {
  return divisor < (sizeof(C) == 4 ? C(1e-20) : C(1e-200));
}

// One example's own softmax of a row.
template <typename T>
struct OwnSoftmax {
  using C = Compute<T>;

  // All lanes of a warp.
  __device__ OwnSoftmax(const SharedArguments<T>& g, int b, int h, int i)
      : logits(g.logits_row(h, i)), mask(g.mask_row(b)), seen(g.seen(i)) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    C largest = minus_infinity<C>(), sum = 0;
    for (int j = lane; j < seen; j += kWarp)
      if (mask[j] != 0) largest = Largest::of(largest, logits[j]);
    largest = warp_reduce<Largest>(largest);
    base = largest == minus_infinity<C>() ? C(0) : largest;
    for (int j = lane; j < seen; j += kWarp)
      if (mask[j] != 0) sum += Math::exp(logits[j] - base);
    factor = C(1) / warp_reduce<Sum>(sum);
  }
  __device__ C weight(int j) const { return mask[j] != 0 ? Math::exp(logits[j] - base) * factor : C(0); }

  const C* logits;
  const int32_t* mask;
  int seen;
  C base, factor;
};

// The work of warps that have a row (head, query, example) each, the examples of a query side by side.
template <typename T, typename Visit>
__device__ inline void each_row_by_warp(const SharedArguments<T>& g, Visit visit) {
  const int64_t rows = static_cast<int64_t>(g.heads) * g.length * g.batch;
  for (int64_t row = thread_of_grid() / kWarp; row < rows; row += threads_of_grid() / kWarp)
    visit(static_cast<int>(row % g.batch), static_cast<int>(row / g.batch / g.length),
          static_cast<int>(row / g.batch % g.length));
}

// P[head, j, (example, a)] = m·V, P[head, j, example's own column] = m, 0 in what rounds the columns up: a thread
// makes kPacked columns, which all are of one example's values if that divides `head`.
template <int kPacked, typename T>
__global__ void pack_masked_values_kernel(SharedArguments<T> g, T* packed) {
  const int packs = g.columns / kPacked, of_values = g.batch * g.head;
  const int64_t count = static_cast<int64_t>(g.heads) * g.memory * packs;
  for (int64_t p = thread_of_grid(); p < count; p += threads_of_grid()) {
    const int column = static_cast<int>(p % packs) * kPacked, j = static_cast<int>(p / packs % g.memory);
    const int h = static_cast<int>(p / packs / g.memory);
    Pack<T, kPacked> made = {};
    if (column < of_values) {
      const int b = column / g.head, a = column % g.head;
      if (g.mask_row(b)[j] != 0) made = *reinterpret_cast<const Pack<T, kPacked>*>(g.values + g.value(b, j, h) + a);
    } else {
      for (int n = 0; n < kPacked; ++n)
        if (const int b = column + n - of_values; b < g.batch)
          made.at[n] = rounded<T>(g.mask_row(b)[j] != 0 ? Compute<T>(1) : Compute<T>(0));
    }
    reinterpret_cast<Pack<T, kPacked>*>(packed)[p] = made;
  }
}

template <typename T>
void pack_masked_values(cudaStream_t stream, const SharedArguments<T>& g, T* packed) {
  const int64_t count = static_cast<int64_t>(g.heads) * g.memory * g.columns;
  if (g.head % kPack<T> == 0)
    launch(stream, {"pack_masked_values_kernel", blocks_for(count / kPack<T>)}, pack_masked_values_kernel<kPack<T>, T>,
           g, packed);
  else
    launch(stream, {"pack_masked_values_kernel", blocks_for(count)}, pack_masked_values_kernel<1, T>, g, packed);
}

}  // namespace synthesizer::cuda
