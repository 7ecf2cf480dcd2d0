// What the gradient's kernels by tensor cores have in common.
#pragma once

#include "core/kernels/cuda/attention/mma_tiles.h"

namespace synthesizer::cuda {

// The same in every kernel, to the bit.
__device__ inline float weight_of(float score, float addend, float log_sum) { return __expf(score + addend - log_sum); }

// P (dP − mean). (A weight of 0 may be one of an unseen key, whose dP may be anything.)
__device__ inline float score_gradient(float weight, float dp, float mean) {
  return weight == 0 ? 0 : weight * (dp - mean);
}

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
