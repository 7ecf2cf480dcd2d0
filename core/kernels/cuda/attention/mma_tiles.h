// Tiles of attention's scores by tensor cores: 4 warps, of 16 rows each of a tile of 64 x 64; sums and scores stay in
// the registers that the instruction leaves them in (core/kernels/cuda/device/tensor_core.h says who holds what).
#pragma once

#include "core/kernels/cuda/attention/dot_arguments.h"
#include "core/kernels/cuda/device/tensor_core.h"

namespace synthesizer::cuda {

inline constexpr int kMmaThreads = 4 * kWarp;
inline constexpr int kWarpRows = 16;           // of a warp
inline constexpr int kTilePieces = kTile / 8;  // of 8 columns

// A warp's rows, by pieces of 8 columns: a thread has elements 0 and 1 of one row and 2 and 3 of that 8 below.
template <int kPieces>
using MmaSums = float[kPieces][4];
using MmaScores = MmaSums<kTilePieces>;

struct MmaThread {
  __device__ MmaThread()
      : lane(static_cast<int>(threadIdx.x) % kWarp), first_row(static_cast<int>(threadIdx.x) / kWarp * kWarpRows) {}
  // In the tile: of the thread's upper (0) or lower (1) row, and of element e's column in a piece.
  __device__ int row(int half) const { return first_row + lane / 4 + 8 * half; }
  __device__ int column(int piece, int e) const { return 8 * piece + lane % 4 * 2 + e % 2; }

  int lane, first_row;
};

// Elements between rows in shared memory, so that 8 rows' 16 bytes lie in different banks.
__host__ __device__ constexpr int mma_stride(int width) { return width + 8; }
__host__ __device__ constexpr int mma_tile(int width) { return kTile * mma_stride(width); }

template <int kPieces>
__device__ inline void clear(MmaSums<kPieces>& x) {
#pragma unroll
  for (auto& piece : x)
    for (float& value : piece) value = 0;
}

// Two numbers as bfloat16, `low` in the lower half.
__device__ inline uint32_t two_bfloat16(float low, float high) {
#ifdef __CUDACC__
  uint32_t two;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(two) : "f"(high), "f"(low));
  return two;
#else
  return to_bfloat16(low).bits | static_cast<uint32_t>(to_bfloat16(high).bits) << 16;
#endif
}

// Begins to copy columns [0, width) of 64 rows from `row(i)`, zeros from row `rows` on, of which there is one at least.
template <typename Row>
__device__ inline void bring_rows(BFloat16* to, int stride, int width, int rows, Row row) {
  const int packs = width / 8;
  for (int e = static_cast<int>(threadIdx.x); e < kTile * packs; e += kMmaThreads) {
    const int i = e / packs, column = e % packs * 8;
    copy_async_16(to + i * stride + column, row(i < rows ? i : rows - 1) + column, i < rows);
  }
}

// The pairs side by side. Shared keys are bfloat16 [heads, memory, width] here (with_rounded_keys()).
__device__ inline void bring_queries(const DotArguments<BFloat16>& g, int inner, int b, int h, int i0, BFloat16* to) {
  for (int p = 0, begin = 0; p < g.pairs; begin += g.pair[p++].width)
    bring_rows(to + begin, mma_stride(inner), g.pair[p].width, g.length - i0, [&](int i) {
      return static_cast<const BFloat16*>(g.pair[p].queries) + g.query(b, i0 + i, h) * g.pair[p].width;
    });
}
__device__ inline void bring_keys(const DotArguments<BFloat16>& g, int inner, int b, int h, int j0, BFloat16* to) {
  for (int p = 0, begin = 0; p < g.pairs; begin += g.pair[p++].width)
    bring_rows(to + begin, mma_stride(inner), g.pair[p].width, g.memory - j0, [&](int j) {
      const int64_t row = g.pair[p].shared ? static_cast<int64_t>(h) * g.memory + j0 + j : g.key(b, j0 + j, h);
      return static_cast<const BFloat16*>(g.pair[p].keys) + row * g.pair[p].width;
    });
}
__device__ inline void bring_values(const DotArguments<BFloat16>& g, int b, int h, int j0, BFloat16* to) {
  bring_rows(to, mma_stride(g.head), g.head, g.memory - j0,
             [&](int j) { return g.values + g.key(b, j0 + j, h) * g.head; });
}
__device__ inline void bring_gradient(const DotArguments<BFloat16>& g, int b, int h, int i0, BFloat16* to) {
  bring_rows(to, mma_stride(g.head), g.head, g.length - i0,
             [&](int i) { return g.dy + g.query(b, i0 + i, h) * g.head; });
}

// Calls visit(stage, n) for those n in [first, end) that `next` gives (the next one after its argument), once what
// bring(stage, n) began is there; with two stages the next is brought meanwhile. All threads of the block call it.
template <int kStages, typename Next, typename Bring, typename Visit>
__device__ inline void each_brought(int first, int end, Next next, Bring bring, Visit visit) {
  int n = next(first - 1), stage = 0;
  if (kStages == 2) {
    if (n < end) bring(0, n);
    copy_async_commit();
  }
  while (n < end) {
    const int following = next(n);
    if (kStages == 2) {
      if (following < end) bring(1 - stage, following);
      copy_async_commit();
      copy_async_wait<1>();
    } else {
      bring(0, n);
      copy_async_commit();
      copy_async_wait<0>();
    }
    __syncthreads();
    visit(stage, n);
    __syncthreads();
    n = following;
    if (kStages == 2) stage = 1 - stage;
  }
}

// sums[i, j] = Σ_k a[i, k] b[j, k], i of the warp's rows, j of 64; both rows lie in shared memory. With a and b
// exchanged each element has the same products added in the same order, so the same bits.
__device__ inline void product_of_rows(const MmaThread& me, const BFloat16* a, const BFloat16* b, int depth,
                                       MmaScores& sums) {
  const int stride = mma_stride(depth);
  const BFloat16* const a_row = a + (me.first_row + me.lane % 16) * stride + me.lane / 16 * 8;
  const BFloat16* const b_row = b + (me.lane % 8 + me.lane / 16 * 8) * stride + me.lane / 8 % 2 * 8;
  clear(sums);
  for (int k = 0; k < depth; k += 16) {
    uint32_t left[4];
    ldmatrix_x4(left, a_row + k);
#pragma unroll
    for (int n = 0; n < kTilePieces; n += 2) {
      uint32_t right[4];
      ldmatrix_x4(right, b_row + n * 8 * stride + k);
      mma_16x8x16(sums[n], left, {right[0], right[1]});
      mma_16x8x16(sums[n + 1], left, {right[2], right[3]});
    }
  }
}

// Adds a row of terms, which are there for keys [first, memory), to one of a thread's.
__device__ inline void add_row(const MmaThread& me, const float* row, int first, int memory, int j0, int half,
                               MmaScores& s) {
  if (first <= j0 && j0 + kTile <= memory) {  // all of the tile
#pragma unroll
    for (int n = 0; n < kTilePieces; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) s[n][2 * half + e] += row[j0 + me.column(n, e)];
    return;
  }
#pragma unroll
  for (int n = 0; n < kTilePieces; ++n)
#pragma unroll
    for (int e = 0; e < 2; ++e)
      if (const int j = j0 + me.column(n, e); j >= first && j < memory) s[n][2 * half + e] += row[j];
}

// Adds the terms that are no products of the tile's, in the order in which every kernel does. `shifts`: of a thread's
// two rows (DotArguments::shift()), -1 of those outside of the tensor.
__device__ inline void add_terms(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int h, int i0, int j0,
                                 const int (&shifts)[2], MmaScores& s) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = i0 + me.row(half), shift = shifts[half];
    if (shift < 0) continue;
    if (g.apart != nullptr) add_row(me, g.apart_row(b, h, i, shift), shift, g.memory, j0, half, s);
    if (g.addend != nullptr) add_row(me, g.addend_row(h, i, shift), shift, g.memory, j0, half, s);
  }
}
__device__ inline void shifts_of(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int i0,
                                 int (&shifts)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = i0 + me.row(half);
    shifts[half] = i < g.length ? g.shift(b, i) : -1;
  }
}

// sums[i, a] += Σ_j weights[i, j] rows[j, a], a < width <= 8 kPieces; the weights rounded, the rows in shared memory.
template <int kPieces>
__device__ inline void add_weighted_rows(const MmaThread& me, const MmaScores& weights, const BFloat16* rows, int width,
                                         MmaSums<kPieces>& sums) {
  const int stride = mma_stride(width);
  const BFloat16* const row = rows + me.lane % 16 * stride + me.lane / 16 * 8;
#pragma unroll
  for (int j = 0; j < kTilePieces; j += 2) {
    const uint32_t left[4] = {two_bfloat16(weights[j][0], weights[j][1]), two_bfloat16(weights[j][2], weights[j][3]),
                              two_bfloat16(weights[j + 1][0], weights[j + 1][1]),
                              two_bfloat16(weights[j + 1][2], weights[j + 1][3])};
#pragma unroll
    for (int n = 0; n < kPieces; n += 2)
      if (n * 8 < width) {
        uint32_t right[4];
        ldmatrix_x4_transposed(right, row + j * 8 * stride + n * 8);
        mma_16x8x16(sums[n], left, {right[0], right[1]});
        mma_16x8x16(sums[n + 1], left, {right[2], right[3]});
      }
  }
}

// Of the 4 threads that share a row, on each of them.
template <typename Combine, typename T>
__device__ inline T reduce_quad(T value) {
  value = Combine::of(value, __shfl_xor_sync(kAllLanes, value, 2));
  return Combine::of(value, __shfl_xor_sync(kAllLanes, value, 1));
}

// Whether every query of a tile, all of it inside of the tensor, sees every key: then no score is asked for its own.
// Whole warps call it.
__device__ inline bool tile_is_full(const DotArguments<BFloat16>& g, int b, int i0, int j0) {
  if (i0 + kTile > g.length || j0 + kTile > g.memory || (g.causal && j0 + kTile - 1 > i0)) return false;
  if (g.key_mask == nullptr) return true;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int32_t* const keys = g.key_mask + static_cast<int64_t>(b) * g.memory + j0;
  bool full = keys[lane] != 0 && keys[lane + kWarp] != 0;
  if (g.segments != nullptr) {
    const int32_t* const segments = g.segments + static_cast<int64_t>(b) * g.length + i0;
    const int32_t only = keys[0];
    full = full && keys[lane] == only && keys[lane + kWarp] == only && segments[lane] == only &&
           segments[lane + kWarp] == only;
  }
  return __all_sync(kAllLanes, full) != 0;
}

}  // namespace synthesizer::cuda
