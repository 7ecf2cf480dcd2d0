// The gradient of attention of bfloat16 by tensor cores, by tiles of queries: the queries' gradients, with the rows'
// means that the other kernels need, and the gradient of scores made apart.
#include "core/kernels/cuda/attention/dot_gradient.h"
#include "core/kernels/cuda/attention/mma_gradient.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

// Stores a tile of the scores' gradients by the keys' places, where there are any: [batch, length, heads, memory].
__device__ void store_scores(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int h, int i0, int j0,
                             const MmaRows& rows, const MmaScores& ds, BFloat16* to) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = i0 + me.row(half), shift = rows.shifts[half];
    if (shift < 0) continue;
    BFloat16* const row = to + g.query(b, i, h) * g.memory - shift;
    const bool pairs = reinterpret_cast<uintptr_t>(row) % 4 == 0;  // j is even, and two elements may be one word
#pragma unroll
    for (int n = 0; n < kTilePieces; ++n) {
      const int j = j0 + me.column(n, 0);
      const uint32_t two = two_bfloat16(ds[n][2 * half], ds[n][2 * half + 1]);
      if (pairs && j >= shift && j + 1 < g.memory) {
        *reinterpret_cast<uint32_t*>(row + j) = two;
        continue;
      }
      if (j >= shift && j < g.memory) row[j].bits = static_cast<uint16_t>(two);
      if (j + 1 >= shift && j + 1 < g.memory) row[j + 1].bits = static_cast<uint16_t>(two >> 16);
    }
  }
}

// A block: example, head, queries. The keys are gone through twice: for the mean of dP by weight, then for dQ = dS K
// and dS itself, `dscores`, if that is not null.
template <int kMost, int kStages>
__global__ void __launch_bounds__(kMmaThreads)
    attention_queries_mma_kernel(const __grid_constant__ DotArguments<BFloat16> g, int inner,
                                 const __grid_constant__ PairOutputs to, BFloat16* dscores) {
  const int tiles = (g.length + kTile - 1) / kTile, key_tiles = (g.memory + kTile - 1) / kTile;
  int64_t block = blockIdx.x;
  const int i0 = (tiles - 1 - static_cast<int>(block % tiles)) * kTile;
  block /= tiles;
  const int h = static_cast<int>(block % g.heads), b = static_cast<int>(block / g.heads);
  const MmaThread me;
  BFloat16* const queries = reinterpret_cast<BFloat16*>(shared_memory());
  BFloat16* const dy = queries + mma_tile(inner);
  BFloat16* const keys = dy + mma_tile(g.head);
  BFloat16* const values = keys + kStages * mma_tile(inner);

  bring_queries(g, inner, b, h, i0, queries);
  bring_gradient(g, b, h, i0, dy);
  copy_async_commit();
  MmaRows rows(g, me, b, h, i0);
  const auto next = [&](int n) {
    do ++n;
    while (n < key_tiles && !tile_is_seen(g, b, i0, n * kTile));
    return n;
  };
  const auto bring = [&](int stage, int n) {
    bring_keys(g, inner, b, h, n * kTile, keys + stage * mma_tile(inner));
    bring_values(g, b, h, n * kTile, values + stage * mma_tile(g.head));
  };
  const auto weights_and_gradients = [&](int stage, int n, MmaScores& p, MmaScores& dp) {
    product_of_rows(me, queries, keys + stage * mma_tile(inner), inner, p);
    product_of_rows(me, dy, values + stage * mma_tile(g.head), g.head, dp);
    weights_of(g, me, b, h, i0, n * kTile, rows, p);
  };

  float mean[2] = {};
  each_brought<kStages>(0, key_tiles, next, bring, [&](int stage, int n) {
    MmaScores p, dp;
    weights_and_gradients(stage, n, p, dp);
#pragma unroll
    for (int piece = 0; piece < kTilePieces; ++piece)
#pragma unroll
      for (int e = 0; e < 4; ++e) mean[e / 2] += p[piece][e] == 0 ? 0 : p[piece][e] * dp[piece][e];
  });
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    rows.mean[half] = reduce_quad<Sum>(mean[half]);
    const int i = i0 + me.row(half);
    if (i < g.length && me.lane % 4 == 0) g.mean[g.row(b, h, i)] = rows.mean[half];
  }

  if (inner == 0 && dscores == nullptr) {  // nothing but means was asked for
    copy_async_wait<0>();
    return;
  }
  MmaSums<kMost / 8> sums;
  clear(sums);
  each_brought<kStages>(0, key_tiles, next, bring, [&](int stage, int n) {
    MmaScores p, ds;
    weights_and_gradients(stage, n, p, ds);
#pragma unroll
    for (int piece = 0; piece < kTilePieces; ++piece)
#pragma unroll
      for (int e = 0; e < 4; ++e) ds[piece][e] = score_gradient(p[piece][e], ds[piece][e], rows.mean[e / 2]);
    if (dscores != nullptr) store_scores(g, me, b, h, i0, n * kTile, rows, ds, dscores);
    add_weighted_rows(me, ds, keys + stage * mma_tile(inner), inner, sums);
  });
  copy_async_wait<0>();
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (const int i = i0 + me.row(half); i < g.length) store_pairs(g, me, to, g.query(b, i, h), half, sums);
}

template <int kMost, int kStages>
void run_kernel(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner, const DotGradients<BFloat16>& to) {
  const int64_t blocks = static_cast<int64_t>(g.batch) * g.heads * tiles_of(g.length);
  const int64_t shared = (1 + kStages) * (mma_tile(inner) + mma_tile(g.head)) * static_cast<int64_t>(sizeof(BFloat16));
  launch(stream, {"attention_queries_mma_kernel", blocks, kMmaThreads, shared},
         attention_queries_mma_kernel<kMost, kStages>, g, inner, PairOutputs(to.queries), to.scores);
}

}  // namespace

void dot_gradient_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner,
                         const DotGradients<BFloat16>& to) {
  if (mma_is_small(g, inner))
    run_kernel<64, 2>(stream, g, inner, to);
  else
    run_kernel<128, 1>(stream, g, inner, to);
  if (to.addend != nullptr && !g.addend_by_key) dot_addend_gradient_by_mma(stream, g, inner, to);
  dot_key_gradients_by_mma(stream, g, inner, to);
}

}  // namespace synthesizer::cuda
