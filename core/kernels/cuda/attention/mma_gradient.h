// What the gradient's kernels by tensor cores have in common.
#pragma once

#include "core/kernels/cuda/attention/mma_tiles.h"

namespace synthesizer::cuda {

// The same in every kernel, to the bit.
__device__ inline float weight_of(float score, float log_sum) { return __expf(score - log_sum); }

// P (dP − mean). (A weight of 0 may be one of an unseen key, whose dP may be anything.)
__device__ inline float score_gradient(float weight, float dp, float mean) {
  return weight == 0 ? 0 : weight * (dp - mean);
}

// What a thread knows of its two rows: log Σ exp, the mean of dP by weight, DotArguments::shift() (-1 outside of the
// tensor).
struct MmaRows {
  __device__ MmaRows(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int h, int i0) {
    shifts_of(g, me, b, i0, shifts);
    bring(g, me, b, h, i0, g.log_sum, log_sum);
  }
  __device__ void bring_means(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int h, int i0) {
    bring(g, me, b, h, i0, g.mean, mean);
  }
  float log_sum[2], mean[2];
  int shifts[2];

 private:
  __device__ static void bring(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int h, int i0,
                               const float* from, float (&to)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int i = i0 + me.row(half);
      to[half] = i < g.length ? from[g.row(b, h, i)] : 0;
    }
  }
};

// Scores to weights.
__device__ inline void weights_of(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int h, int i0, int j0,
                                  const MmaRows& rows, MmaScores& s) {
  const bool full = tile_is_full(g, b, i0, j0);
  add_terms(g, me, b, h, i0, j0, rows.shifts, s);
#pragma unroll
  for (int n = 0; n < kTilePieces; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const bool seen = full || sees(g, b, i0 + me.row(e / 2), j0 + me.column(n, e));
      s[n][e] = seen ? weight_of(s[n][e], rows.log_sum[e / 2]) : 0;
    }
}

// Whether a block's memory is with two stages below what every device has, and its sums are few.
inline bool mma_is_small(const DotArguments<BFloat16>& g, int inner) { return inner <= 64 && g.head <= 64; }

// Of each pair, where its columns' gradients go, rows of its width; null: nowhere.
struct PairOutputs {
  explicit PairOutputs(BFloat16* const (&pointers)[kMostPairs]) {
    for (int p = 0; p < kMostPairs; ++p) to[p] = pointers[p];
  }
  BFloat16* to[kMostPairs];
};

// Stores one of a thread's rows, which is row `row` of the outputs.
template <int kPieces>
__device__ inline void store_pairs(const DotArguments<BFloat16>& g, const MmaThread& me, const PairOutputs& out,
                                   int64_t row, int half, const MmaSums<kPieces>& sums) {
  for (int p = 0, begin = 0; p < g.pairs; begin += g.pair[p++].width) {
    const int width = g.pair[p].width;
    if (out.to[p] == nullptr) continue;
#pragma unroll
    for (int n = 0; n < kPieces; ++n)
      if (const int column = me.column(n, 0) - begin; n * 8 >= begin && n * 8 < begin + width)
        *reinterpret_cast<uint32_t*>(out.to[p] + row * width + column) =
            two_bfloat16(sums[n][2 * half], sums[n][2 * half + 1]);
  }
}

}  // namespace synthesizer::cuda
