// Joins what several ranks have sent, element by element, on the GPU: in the binary tree of dist/reduce.h, so with the
// bits of the communicators that reduce on the host.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/graph/communicator.h"
#include "core/tensor/dtype.h"

namespace synthesizer::cuda {

// Rank r's elements are at sent + r · stride, but for those of `own_rank`, which are at `own` (a rank of -1: of none).
template <typename Sent, typename Own>
struct RankTerms {
  const Sent* sent;
  int64_t stride;  // in elements
  const Own* own;
  int own_rank;
  int size;
};

// out[i] = the terms' elements i (+ or max) … for i < count; `out` may be `own`. A NaN of any rank is not lost in a
// maximum. Of float, double and BFloat16, which is rounded at every level of the tree.
template <typename T>
void join_ranks(cudaStream_t stream, Reduction reduction, const RankTerms<T, T>& terms, int64_t count, T* out);
// Sums of terms that have travelled as bfloat16, in float32; rounded at the end where Out is BFloat16.
template <typename Out>
void sum_rounded(cudaStream_t stream, const RankTerms<BFloat16, float>& terms, int64_t count, Out* out);

// Between float32 and what travels of it.
void round_to(cudaStream_t stream, BFloat16* to, const float* from, int64_t count);
void widen_to(cudaStream_t stream, float* to, const BFloat16* from, int64_t count);

}  // namespace synthesizer::cuda
