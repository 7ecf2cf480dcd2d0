// The gradient of attention of bfloat16 by tensor cores, by tiles of queries: the queries' gradients, with the rows'
// means that the other kernels need, and the gradient of an addend that has queries.
#include "core/kernels/cuda/attention/dot_gradient.h"
#include "core/kernels/cuda/attention/mma_gradient.h"
#include "core/kernels/cuda/launch.h"

namespace synthesizer::cuda {
namespace {

// Log Σ exp, and the mean of dP by weight, of a thread's two rows.
struct RowSums {
  float log_sum[2], mean[2];
};

// Scores to weights.
__device__ void weights_of(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int h, int i0, int j0,
                           const RowSums& rows, MmaScores& s) {
  const bool full = tile_is_full(g, b, i0, j0);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = i0 + me.row(half);
    const float* const addend = g.addend == nullptr || i >= g.length ? nullptr : g.addend_row(h, i);
#pragma unroll
    for (int n = 0; n < kTilePieces; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int j = j0 + me.column(n, e);
        float& score = s[n][2 * half + e];
        const bool seen = full || sees(g, b, i, j);
        score = seen ? weight_of(score, addend == nullptr ? 0 : addend[j], rows.log_sum[half]) : 0;
      }
  }
}

// A block: example, head, queries. The keys are gone through twice: for the mean of dP by weight, then for dQ = dS K.
template <int kMost, int kStages>
__global__ void __launch_bounds__(kMmaThreads)
    attention_queries_mma_kernel(const __grid_constant__ DotArguments<BFloat16> g, int inner,
                                 const __grid_constant__ PairOutputs to) {
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
  RowSums rows = {};
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (const int i = i0 + me.row(half); i < g.length) rows.log_sum[half] = g.log_sum[g.row(b, h, i)];
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

  MmaSums<kMost / 8> sums;
  clear(sums);
  each_brought<kStages>(0, key_tiles, next, bring, [&](int stage, int n) {
    MmaScores p, ds;
    weights_and_gradients(stage, n, p, ds);
#pragma unroll
    for (int piece = 0; piece < kTilePieces; ++piece)
#pragma unroll
      for (int e = 0; e < 4; ++e) ds[piece][e] = score_gradient(p[piece][e], ds[piece][e], rows.mean[e / 2]);
    add_weighted_rows(me, ds, keys + stage * mma_tile(inner), inner, sums);
  });
  copy_async_wait<0>();
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (const int i = i0 + me.row(half); i < g.length) store_pairs(g, me, to, g.query(b, i, h), half, sums);
}

// A block: head, tile of dS, of all examples in order.
template <int kStages>
__global__ void __launch_bounds__(kMmaThreads)
    attention_addend_mma_kernel(const __grid_constant__ DotArguments<BFloat16> g, int inner, float* dsum) {
  const int tiles = (g.length + kTile - 1) / kTile;
  const int i0 = static_cast<int>(blockIdx.x) % tiles * kTile, h = static_cast<int>(blockIdx.x) / tiles;
  const int j0 = static_cast<int>(blockIdx.y) * kTile;
  const MmaThread me;
  BFloat16* const queries = reinterpret_cast<BFloat16*>(shared_memory());
  BFloat16* const keys = queries + kStages * mma_tile(inner);
  BFloat16* const dy = keys + kStages * mma_tile(inner);
  BFloat16* const values = dy + kStages * mma_tile(g.head);
  MmaScores sums;
  clear(sums);
  const auto next = [&](int b) {
    do ++b;
    while (b < g.batch && !tile_is_seen(g, b, i0, j0));
    return b;
  };
  const auto bring = [&](int stage, int b) {
    bring_queries(g, inner, b, h, i0, queries + stage * mma_tile(inner));
    bring_keys(g, inner, b, h, j0, keys + stage * mma_tile(inner));
    bring_gradient(g, b, h, i0, dy + stage * mma_tile(g.head));
    bring_values(g, b, h, j0, values + stage * mma_tile(g.head));
  };
  each_brought<kStages>(0, g.batch, next, bring, [&](int stage, int b) {
    RowSums rows = {};
#pragma unroll
    for (int half = 0; half < 2; ++half)
      if (const int i = i0 + me.row(half); i < g.length) {
        rows.log_sum[half] = g.log_sum[g.row(b, h, i)];
        rows.mean[half] = g.mean[g.row(b, h, i)];
      }
    MmaScores p, dp;
    product_of_rows(me, queries + stage * mma_tile(inner), keys + stage * mma_tile(inner), inner, p);
    product_of_rows(me, dy + stage * mma_tile(g.head), values + stage * mma_tile(g.head), g.head, dp);
    weights_of(g, me, b, h, i0, j0, rows, p);
#pragma unroll
    for (int piece = 0; piece < kTilePieces; ++piece)
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[piece][e] += score_gradient(p[piece][e], dp[piece][e], rows.mean[e / 2]);
  });
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int piece = 0; piece < kTilePieces; ++piece)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int i = i0 + me.row(half), j = j0 + me.column(piece, e);
        if (i < g.length && j < g.memory)
          dsum[(static_cast<int64_t>(h) * g.length + i) * g.memory + j] = sums[piece][2 * half + e];
      }
}

template <int kMost, int kStages>
void run_kernels(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner, const DotGradients<BFloat16>& to) {
  const int64_t tiles = tiles_of(g.length), of_inner = mma_tile(inner), of_head = mma_tile(g.head);
  constexpr auto kSize = static_cast<int64_t>(sizeof(BFloat16));
  launch(stream,
         {"attention_queries_mma_kernel", static_cast<int64_t>(g.batch) * g.heads * tiles, kMmaThreads,
          (1 + kStages) * (of_inner + of_head) * kSize},
         attention_queries_mma_kernel<kMost, kStages>, g, inner, PairOutputs(to.queries));
  if (to.addend != nullptr && !g.addend_by_key)
    launch(stream,
           {"attention_addend_mma_kernel", g.heads * tiles, kMmaThreads, 2 * kStages * (of_inner + of_head) * kSize,
            tiles_of(g.memory)},
           attention_addend_mma_kernel<kStages>, g, inner, to.addend);
}

}  // namespace

void dot_gradient_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner,
                         const DotGradients<BFloat16>& to) {
  // Two stages where a block's memory is then below what every device has.
  if (inner <= 64 && g.head <= 64)
    run_kernels<64, 2>(stream, g, inner, to);
  else
    run_kernels<128, 1>(stream, g, inner, to);
  dot_key_gradients_by_mma(stream, g, inner, to);
}

}  // namespace synthesizer::cuda
