// Tiles of scores by plain multiplications, of any type and any odd size: 256 threads in 16 rows of 16, each with 4 x 4
// elements of a tile of 64 x 64, whose operands pass through shared memory 16 terms at a time.
#pragma once

#include "core/kernels/cuda/attention/dot_arguments.h"

namespace synthesizer::cuda {

inline constexpr int kSide = 16, kEach = 4, kDepth = 16, kTileThreads = kSide * kSide;
inline constexpr int kPitch = kTile + 4;  // of rows in shared memory: still 16 bytes apart, in other banks

template <typename T>
using Elements = T[kEach][kEach];

__device__ inline int tile_row() { return static_cast<int>(threadIdx.x) / kSide * kEach; }
__device__ inline int tile_column() { return static_cast<int>(threadIdx.x) % kSide * kEach; }

// Two operands' terms, by term; and weights, by what is summed over.
template <typename T>
struct TileMemory {
  static constexpr int64_t kBytes = (2 * kDepth + kTile) * kPitch * static_cast<int64_t>(sizeof(T));
  __device__ TileMemory()
      : a(reinterpret_cast<T*>(shared_memory())), b(a + kDepth * kPitch), weights(b + kDepth * kPitch) {}
  T *a, *b, *weights;
};

template <typename T>
__device__ inline void clear(Elements<T>& x) {
  for (auto& row : x)
    for (T& value : row) value = 0;
}

template <typename T>
__device__ inline void load_four(const T* shared, T (&to)[kEach]) {
  for (int n = 0; n < kEach; n += kPack<T>) {
    const auto pack = *reinterpret_cast<const Pack<T, kPack<T>>*>(shared + n);
    for (int i = 0; i < kPack<T>; ++i) to[n + i] = pack.at[i];
  }
}

// Brings terms [first, first + kDepth) that are < depth of 64 rows to shared memory, load(row, term) each. `by_rows`:
// rows are neighbours in memory, else terms are.
template <typename T, typename Load>
__device__ inline void bring(T* shared, int first, int depth, bool by_rows, Load load) {
  for (int e = static_cast<int>(threadIdx.x); e < kDepth * kTile; e += kTileThreads) {
    const int row = by_rows ? e % kTile : e / kDepth, term = by_rows ? e / kTile : e % kDepth;
    if (first + term < depth) shared[term * kPitch + row] = load(row, first + term);
  }
}

// The next terms of a tile of products, kDepth of them or, at the end, `terms`.
template <typename T>
__device__ inline void multiply_term(const T* a, const T* b, Elements<T>& sums) {
  T x[kEach], y[kEach];
  load_four(a + tile_row(), x);
  load_four(b + tile_column(), y);
#pragma unroll
  for (int r = 0; r < kEach; ++r)
#pragma unroll
    for (int c = 0; c < kEach; ++c) sums[r][c] += x[r] * y[c];
}
template <typename T>
__device__ inline void multiply(const T* a, const T* b, int terms, Elements<T>& sums) {
  if (terms < kDepth) {
    for (int k = 0; k < terms; ++k) multiply_term(a + k * kPitch, b + k * kPitch, sums);
    return;
  }
#pragma unroll
  for (int k = 0; k < kDepth; ++k) multiply_term(a + k * kPitch, b + k * kPitch, sums);
}

// sums[r, c] += Σ_k a(r, k) b(c, k), in the order of k.
template <typename T, typename A, typename B>
__device__ inline void add_product(const TileMemory<T>& m, int depth, bool b_by_rows, A a, B b, Elements<T>& sums) {
  for (int k = 0; k < depth; k += kDepth) {
    __syncthreads();
    bring(m.a, k, depth, false, a);
    bring(m.b, k, depth, b_by_rows, b);
    __syncthreads();
    multiply(m.a, m.b, depth - k, sums);
  }
}

// sums[r, c] += Σ_k weights[k, r] b(c, k), k over a tile; a barrier lies before the weights are read.
template <typename T, typename B>
__device__ inline void add_weighted(const TileMemory<T>& m, int depth, B b, Elements<T>& sums) {
  for (int k = 0; k < kTile && k < depth; k += kDepth) {
    __syncthreads();
    bring(m.b, k, depth, true, b);
    __syncthreads();
    multiply(m.weights + k * kPitch, m.b, depth - k, sums);
  }
}

// Queries' and keys' products and the other terms, of the tile of queries from i0 and keys from j0; what lies outside
// of the tensors is anything.
template <typename E>
__device__ inline void scores_of(const DotArguments<E>& g, const TileMemory<Compute<E>>& m, int b, int h, int i0,
                                 int j0, Elements<Compute<E>>& s) {
  using T = Compute<E>;
  clear(s);
  if (g.pairs == 0) __syncthreads();  // as products have it: all have read what the caller puts its weights over
  for (int p = 0; p < g.pairs; ++p) {
    const DotPair& pair = g.pair[p];
    const int width = pair.width;
    const auto queries = [&](int row, int k) {
      const E* at = static_cast<const E*>(pair.queries) + g.query(b, i0 + row, h) * width + k;
      return i0 + row < g.length ? widened(*at) : T(0);
    };
    if (pair.shared)
      add_product(
          m, width, true, queries,
          [&](int row, int k) {
            const T* at = static_cast<const T*>(pair.keys) + (static_cast<int64_t>(h) * width + k) * g.memory;
            return j0 + row < g.memory ? widened(rounded<E>(at[j0 + row])) : T(0);
          },
          s);
    else
      add_product(
          m, width, false, queries,
          [&](int row, int k) {
            const E* at = static_cast<const E*>(pair.keys) + g.key(b, j0 + row, h) * width + k;
            return j0 + row < g.memory ? widened(*at) : T(0);
          },
          s);
  }
  if (g.addend == nullptr && g.apart == nullptr) return;
#pragma unroll
  for (int r = 0; r < kEach; ++r) {
    const int i = i0 + tile_row() + r, shift = i < g.length ? g.shift(b, i) : -1;
    if (shift < 0) continue;
    const T* const apart = g.apart == nullptr ? nullptr : g.apart_row(b, h, i, shift);
    const T* const addend = g.addend == nullptr ? nullptr : g.addend_row(h, i, shift);
#pragma unroll
    for (int c = 0; c < kEach; ++c) {
      const int j = j0 + tile_column() + c;
      if (j < shift || j >= g.memory) continue;
      if (apart != nullptr) s[r][c] += apart[j];
      if (addend != nullptr) s[r][c] += addend[j];
    }
  }
}

// dP = dY Vᵀ.
template <typename E>
__device__ inline void weight_gradients_of(const DotArguments<E>& g, const TileMemory<Compute<E>>& m, int b, int h,
                                           int i0, int j0, Elements<Compute<E>>& dp) {
  using T = Compute<E>;
  clear(dp);
  add_product(
      m, g.head, false,
      [&](int row, int k) { return i0 + row < g.length ? widened(g.dy[g.query(b, i0 + row, h) * g.head + k]) : T(0); },
      [&](int row, int k) {
        return j0 + row < g.memory ? widened(g.values[g.key(b, j0 + row, h) * g.head + k]) : T(0);
      },
      dp);
}

// Scores to weights, by what forward kept; 0 where the query does not see the key.
template <typename E>
__device__ inline void to_weights(const DotArguments<E>& g, int b, int h, int i0, int j0, Elements<Compute<E>>& s) {
#pragma unroll
  for (int r = 0; r < kEach; ++r) {
    const int i = i0 + tile_row() + r;
    const Compute<E> log_sum = i < g.length ? g.log_sum[g.row(b, h, i)] : 0;
#pragma unroll
    for (int c = 0; c < kEach; ++c) s[r][c] = sees(g, b, i, j0 + tile_column() + c) ? Math::exp(s[r][c] - log_sum) : 0;
  }
}

// P and dP to the scores' gradients P (dP − mean), in dP's place. (A weight of 0 may be one of an unseen key,
// whose dP may be anything.)
template <typename E>
__device__ inline void to_score_gradients(const DotArguments<E>& g, int b, int h, int i0,
                                          const Elements<Compute<E>>& weights, Elements<Compute<E>>& dp) {
#pragma unroll
  for (int r = 0; r < kEach; ++r) {
    const int i = i0 + tile_row() + r;
    const Compute<E> mean = i < g.length ? g.mean[g.row(b, h, i)] : 0;
#pragma unroll
    for (int c = 0; c < kEach; ++c) dp[r][c] = weights[r][c] == 0 ? 0 : weights[r][c] * (dp[r][c] - mean);
  }
}

// Puts a tile where add_weighted reads it, rounded as products take it: to sum over keys, or over queries.
template <typename E>
__device__ inline void put_by_key(const TileMemory<Compute<E>>& m, const Elements<Compute<E>>& x) {
#pragma unroll
  for (int c = 0; c < kEach; ++c)
#pragma unroll
    for (int r = 0; r < kEach; ++r)
      m.weights[(tile_column() + c) * kPitch + tile_row() + r] = widened(rounded<E>(x[r][c]));
}
template <typename E>
__device__ inline void put_by_query(const TileMemory<Compute<E>>& m, const Elements<Compute<E>>& x) {
#pragma unroll
  for (int r = 0; r < kEach; ++r)
#pragma unroll
    for (int c = 0; c < kEach; ++c)
      m.weights[(tile_row() + r) * kPitch + tile_column() + c] = widened(rounded<E>(x[r][c]));
}

// Each of a thread's rows, combined over the 16 threads that share them, on all of these. Threads first part the rows
// among them, so that 4 rows take 9 exchanges instead of 16.
template <typename Combine, typename T>
__device__ inline void reduce_rows(T (&x)[kEach]) {
  static_assert(kEach == 4 && kSide == 16);
  const auto exchange = [](T value, int apart) { return __shfl_xor_sync(kAllLanes, value, apart); };
  const int lane = static_cast<int>(threadIdx.x) % kSide;
  const bool lower = (lane & 8) != 0, odd = (lane & 4) != 0;
  const T first = Combine::of(lower ? x[2] : x[0], exchange(lower ? x[0] : x[2], 8));
  const T second = Combine::of(lower ? x[3] : x[1], exchange(lower ? x[1] : x[3], 8));
  T row = Combine::of(odd ? second : first, exchange(odd ? first : second, 4));
  row = Combine::of(row, exchange(row, 2));
  row = Combine::of(row, exchange(row, 1));
#pragma unroll
  for (int r = 0; r < kEach; ++r) x[r] = __shfl_sync(kAllLanes, row, 4 * r, kSide);
}

}  // namespace synthesizer::cuda
