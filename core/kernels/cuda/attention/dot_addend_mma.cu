// The gradient of an addend that has queries, of bfloat16 by tensor cores: each block owns a tile of it, and makes the
// scores again that meet it there, of all examples or, by places, of all their documents.
#include "core/kernels/cuda/attention/dot_gradient.h"
#include "core/kernels/cuda/attention/mma_gradient.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

// A block: head, tile of dS. kPlaces: of documents, whose tiles begin anywhere in an example; else `documents` is
// nothing. `add`: to what is in dS.
template <int kStages, bool kPlaces>
__global__ void __launch_bounds__(kMmaThreads)
    attention_addend_mma_kernel(const __grid_constant__ DotArguments<BFloat16> g, int inner,
                                const __grid_constant__ Documents documents, bool add, float* dsum) {
  const int tiles = (g.length + kTile - 1) / kTile;
  const int p0 = static_cast<int>(blockIdx.x) % tiles * kTile, h = static_cast<int>(blockIdx.x) / tiles;
  const int q0 = static_cast<int>(blockIdx.y) * kTile;
  const MmaThread me;
  BFloat16* const queries = reinterpret_cast<BFloat16*>(shared_memory());
  BFloat16* const keys = queries + kStages * mma_tile(inner);
  BFloat16* const dy = keys + kStages * mma_tile(inner);
  BFloat16* const values = dy + kStages * mma_tile(g.head);
  MmaScores sums;
  clear(sums);
  const int begin = kPlaces ? documents.starts[0] : 0;
  int end = kPlaces ? documents.starts[g.batch] : g.batch;
  if (g.causal && q0 >= p0 + kTile) end = begin;
  const auto part = [&](int n) { return kPlaces ? SumPart(documents, n, p0, q0) : SumPart(n, p0, q0); };
  const auto next = [&](int n) {
    if constexpr (kPlaces) {
      return next_document(documents.list, n, end, p0 > q0 ? p0 : q0);
    } else {
      do ++n;
      while (n < end && !tile_is_seen(g, n, p0, q0));
      return n;
    }
  };
  const auto bring = [&](int stage, int n) {
    const SumPart at = part(n);
    bring_queries(g, inner, at.example, h, at.i0, queries + stage * mma_tile(inner));
    bring_keys(g, inner, at.example, h, at.j0, keys + stage * mma_tile(inner));
    bring_gradient(g, at.example, h, at.i0, dy + stage * mma_tile(g.head));
    bring_values(g, at.example, h, at.j0, values + stage * mma_tile(g.head));
  };
  each_brought<kStages>(begin, end, next, bring, [&](int stage, int n) {
    const SumPart at = part(n);
    MmaRows rows(g, me, at.example, h, at.i0);
    rows.bring_means(g, me, at.example, h, at.i0);
    MmaScores p, dp;
    product_of_rows(me, queries + stage * mma_tile(inner), keys + stage * mma_tile(inner), inner, p);
    product_of_rows(me, dy + stage * mma_tile(g.head), values + stage * mma_tile(g.head), g.head, dp);
    weights_of(g, me, at.example, h, at.i0, at.j0, rows, p);
#pragma unroll
    for (int piece = 0; piece < kTilePieces; ++piece)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (kPlaces && !at.counts(at.i0 + me.row(e / 2), at.j0 + me.column(piece, e))) continue;
        sums[piece][e] += score_gradient(p[piece][e], dp[piece][e], rows.mean[e / 2]);
      }
  });
#pragma unroll
  for (int piece = 0; piece < kTilePieces; ++piece)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int p = p0 + me.row(e / 2), q = q0 + me.column(piece, e);
      if (p >= g.length || q >= g.memory) continue;
      float& sum = dsum[(static_cast<int64_t>(h) * g.length + p) * g.memory + q];
      sum = add ? sum + sums[piece][e] : sums[piece][e];
    }
}

template <int kStages>
void run_kernel(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner, const DotGradients<BFloat16>& to) {
  const int64_t shared = 2 * kStages * (mma_tile(inner) + mma_tile(g.head)) * static_cast<int64_t>(sizeof(BFloat16));
  const Grid grid{"attention_addend_mma_kernel", g.heads * tiles_of(g.length), kMmaThreads, shared, tiles_of(g.memory)};
  if (g.positions != nullptr)
    launch(stream, grid, attention_addend_mma_kernel<kStages, true>, g, inner, to.documents, to.add_to_addend,
           to.addend);
  else
    launch(stream, grid, attention_addend_mma_kernel<kStages, false>, g, inner, to.documents, to.add_to_addend,
           to.addend);
}

}  // namespace

void dot_addend_gradient_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner,
                                const DotGradients<BFloat16>& to) {
  if (mma_is_small(g, inner))
    run_kernel<2>(stream, g, inner, to);
  else
    run_kernel<1>(stream, g, inner, to);
}

}  // namespace synthesizer::cuda
