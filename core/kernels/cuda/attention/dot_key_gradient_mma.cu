// The gradient of attention of bfloat16 by tensor cores, by tiles of keys: of values, keys, and an addend that has keys
// alone. Scores are made transposed, a warp with 16 keys: so weights are where the products of keys and values take
// them from.
#include "core/kernels/cuda/attention/dot_gradient.h"
#include "core/kernels/cuda/attention/mma_gradient.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

// Where the sums over a group of examples go, [groups, heads, width, memory] and [groups, heads, memory], if anywhere.
struct GroupOutputs {
  float* keys[kMostPairs];
  float* addend;
  int groups;
};

// This thread's of 64 queries' log Σ exp and then their means.
__device__ float row_sum_of_thread(const DotArguments<BFloat16>& g, int b, int h, int i0) {
  const int i = i0 + static_cast<int>(threadIdx.x) % kTile;
  const float* const from = static_cast<int>(threadIdx.x) < kTile ? g.log_sum : g.mean;
  return i < g.length ? from[g.row(b, h, i)] : 0;
}

// add_terms() to transposed scores; kPlaces: whether there are positions. `full`: all of the tile is in the tensor.
template <bool kPlaces>
__device__ void add_terms_by_key(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int h, int i0, int j0,
                                 bool full, MmaScores& s) {
  if (g.addend == nullptr && g.apart == nullptr) return;
#pragma unroll
  for (int n = 0; n < kTilePieces; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int i = i0 + me.column(n, e), j = j0 + me.row(e / 2);
      if (!full && (i >= g.length || j >= g.memory)) continue;
      const int shift = kPlaces ? g.shift(b, i) : 0;
      if (kPlaces && (shift < 0 || j < shift)) continue;
      if (g.apart != nullptr) s[n][e] += g.apart_row(b, h, i, shift)[j];
      if (g.addend != nullptr) s[n][e] += g.addend_row(h, i, shift)[j];
    }
}

// Transposed scores and dP to weights and the scores' gradients, in their place; adds these to the sums by key.
__device__ void key_gradients(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int h, int i0, int j0,
                              const float* row_sums, MmaScores& s, MmaScores& dp, float (&by_key)[2]) {
  const bool full = tile_is_full(g, b, i0, j0);
  if (g.positions != nullptr)
    add_terms_by_key<true>(g, me, b, h, i0, j0, full, s);
  else
    add_terms_by_key<false>(g, me, b, h, i0, j0, full, s);
#pragma unroll
  for (int n = 0; n < kTilePieces; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int column = me.column(n, e), i = i0 + column, j = j0 + me.row(e / 2);
      const bool seen = full || sees(g, b, i, j);
      s[n][e] = seen ? weight_of(s[n][e], row_sums[column]) : 0;
      dp[n][e] = score_gradient(s[n][e], dp[n][e], row_sums[kTile + column]);
      by_key[e / 2] += dp[n][e];
    }
}

// Zeros for the next example's own keys; the sums of shared keys go on over the examples.
template <int kPieces>
__device__ void clear_own(const DotArguments<BFloat16>& g, MmaSums<kPieces>& dkeys) {
  for (int p = 0, begin = 0; p < g.pairs; begin += g.pair[p++].width)
#pragma unroll
    for (int n = 0; n < kPieces; ++n)
      if (!g.pair[p].shared && n * 8 >= begin && n * 8 < begin + g.pair[p].width)
        for (float& value : dkeys[n]) value = 0;
}

// A block: group of examples, head, keys. It reads the keys and values of its own tile alone, in whose place their
// gradients may be.
template <int kMost, int kStages>
__global__ void __launch_bounds__(kMmaThreads)
    attention_keys_mma_kernel(const __grid_constant__ DotArguments<BFloat16> g, int inner, BFloat16* dvalues,
                              const __grid_constant__ PairOutputs own, const __grid_constant__ GroupOutputs shared) {
  const int tiles = (g.length + kTile - 1) / kTile, key_tiles = (g.memory + kTile - 1) / kTile;
  int64_t block = blockIdx.x;
  const int j0 = static_cast<int>(block % key_tiles) * kTile;
  block /= key_tiles;
  const int h = static_cast<int>(block % g.heads), group = static_cast<int>(block / g.heads);
  const MmaThread me;
  BFloat16* const keys = reinterpret_cast<BFloat16*>(shared_memory());
  BFloat16* const values = keys + mma_tile(inner);
  BFloat16* const queries = values + mma_tile(g.head);
  BFloat16* const dy = queries + kStages * mma_tile(inner);
  float* const row_sums = reinterpret_cast<float*>(dy + kStages * mma_tile(g.head));

  MmaSums<kMost / 8> dkey_sums, dvalue_sums;
  clear(dkey_sums);
  float by_key[2] = {};
  const auto begin = [&](int n) { return static_cast<int>(static_cast<int64_t>(g.batch) * n / shared.groups); };
  for (int b = begin(group); b < begin(group + 1); ++b) {
    bring_keys(g, inner, b, h, j0, keys);
    bring_values(g, b, h, j0, values);
    copy_async_commit();
    clear(dvalue_sums);
    clear_own(g, dkey_sums);
    const auto next = [&](int n) {
      do ++n;
      while (n < tiles && !tile_is_seen(g, b, n * kTile, j0));
      return n;
    };
    const auto bring = [&](int stage, int n) {
      const float row_sum = row_sum_of_thread(g, b, h, n * kTile);  // on its way while the copies begin
      bring_queries(g, inner, b, h, n * kTile, queries + stage * mma_tile(inner));
      bring_gradient(g, b, h, n * kTile, dy + stage * mma_tile(g.head));
      row_sums[stage * 2 * kTile + static_cast<int>(threadIdx.x)] = row_sum;
    };
    each_brought<kStages>(0, tiles, next, bring, [&](int stage, int n) {
      const BFloat16* const some_queries = queries + stage * mma_tile(inner);
      const BFloat16* const some_dy = dy + stage * mma_tile(g.head);
      MmaScores p, ds;
      product_of_rows(me, keys, some_queries, inner, p);
      product_of_rows(me, values, some_dy, g.head, ds);
      key_gradients(g, me, b, h, n * kTile, j0, row_sums + stage * 2 * kTile, p, ds, by_key);
      add_weighted_rows(me, p, some_dy, g.head, dvalue_sums);
      add_weighted_rows(me, ds, some_queries, inner, dkey_sums);
    });
    // All have read the keys and values, before the next example's, or their gradients, take their place.
    copy_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int j = j0 + me.row(half);
      if (j >= g.memory) continue;
      const int64_t row = g.key(b, j, h);
#pragma unroll
      for (int n = 0; n < kMost / 8; ++n)
        if (n * 8 < g.head)
          *reinterpret_cast<uint32_t*>(dvalues + row * g.head + me.column(n, 0)) =
              two_bfloat16(dvalue_sums[n][2 * half], dvalue_sums[n][2 * half + 1]);
      store_pairs(g, me, own, row, half, dkey_sums);
    }
  }

  const int64_t of_group = static_cast<int64_t>(group) * g.heads + h;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = reduce_quad<Sum>(by_key[half]);
    const int j = j0 + me.row(half);
    if (j >= g.memory) continue;
    if (shared.addend != nullptr && me.lane % 4 == 0) shared.addend[of_group * g.memory + j] = total;
    for (int p = 0, first = 0; p < g.pairs; first += g.pair[p++].width) {
      const int width = g.pair[p].width;
      if (!g.pair[p].shared) continue;
#pragma unroll
      for (int n = 0; n < kMost / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e)
          if (const int a = me.column(n, e) - first; n * 8 >= first && n * 8 < first + width)
            shared.keys[p][(of_group * width + a) * g.memory + j] = dkey_sums[n][2 * half + e];
    }
  }
}

template <int kMost, int kStages>
void run_kernel(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner, const DotGradients<BFloat16>& to) {
  GroupOutputs shared = {};
  if (g.addend_by_key) shared.addend = to.addend;
  bool sums = shared.addend != nullptr;
  for (int p = 0; p < g.pairs; ++p) {
    shared.keys[p] = to.shared_keys[p];
    sums = sums || g.pair[p].shared;
  }
  shared.groups = sums ? to.groups : g.batch;
  const int64_t shared_bytes =
      (1 + kStages) * (mma_tile(inner) + mma_tile(g.head)) * static_cast<int64_t>(sizeof(BFloat16)) +
      kStages * 2 * kTile * static_cast<int64_t>(sizeof(float));
  launch(stream,
         {"attention_keys_mma_kernel", static_cast<int64_t>(shared.groups) * g.heads * tiles_of(g.memory), kMmaThreads,
          shared_bytes},
         attention_keys_mma_kernel<kMost, kStages>, g, inner, to.values, PairOutputs(to.own_keys), shared);
}

}  // namespace

void dot_key_gradients_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner,
                              const DotGradients<BFloat16>& to) {
  if (mma_is_small(g, inner))
    run_kernel<64, 2>(stream, g, inner, to);
  else
    run_kernel<128, 1>(stream, g, inner, to);
}

}  // namespace synthesizer::cuda
