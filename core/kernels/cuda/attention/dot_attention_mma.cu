// Attention of bfloat16 by tensor cores: a block takes 64 queries and goes through tiles of 64 keys, the next of which
// is on its way to shared memory meanwhile; scores, weights and sums are in registers.
#include "core/kernels/cuda/attention/dot_forward.h"
#include "core/kernels/cuda/attention/mma_tiles.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

// What a thread knows of its two rows.
struct RowState {
  float maximum = minus_infinity<float>(), sum = 0;  // sum: of its own columns
  bool seen = false;
};

// Scores to weights; `mixed` is made smaller where a row has a new maximum.
template <int kPieces>
__device__ void normalise(const DotArguments<BFloat16>& g, const MmaThread& me, int b, int i0, int j0, MmaScores& s,
                          RowState (&rows)[2], MmaSums<kPieces>& mixed) {
  const bool full = tile_is_full(g, b, i0, j0);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    RowState& row = rows[half];
    const int i = i0 + me.row(half);
    float largest = row.maximum;
    unsigned visible = 0xFFFFu;
#pragma unroll
    for (int n = 0; n < kTilePieces; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int j = j0 + me.column(n, e);
        if (!full && !sees(g, b, i, j))
          visible &= ~(1u << (2 * n + e));
        else
          largest = Largest::of(largest, s[n][2 * half + e]);
      }
    row.seen = row.seen || visible != 0;
    largest = reduce_quad<Largest>(largest);
    const float base = largest == minus_infinity<float>() ? 0 : largest;  // nothing but −∞ so far: weights of 0
    const float scale = __expf(row.maximum - base);
    row.maximum = largest;
    row.sum *= scale;
#pragma unroll
    for (int n = 0; n < kTilePieces; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& score = s[n][2 * half + e];
        score = (visible >> (2 * n + e) & 1) != 0 ? __expf(score - base) : 0;
        row.sum += score;
      }
#pragma unroll
    for (auto& piece : mixed)
#pragma unroll
      for (int e = 0; e < 2; ++e) piece[2 * half + e] *= scale;
  }
}

// kMost: of `inner` (of the tiles' pairs) and g.head. A block: example, head, queries, the last first: of causal ones
// they have the most to do. (Unasked, ptxas begins so many loads early that fewer blocks have their registers at a
// time.)
template <int kMost>
__global__ void __launch_bounds__(kMmaThreads, kMost == 64 ? 4 : 3)
    dot_attention_mma_kernel(const __grid_constant__ DotArguments<BFloat16> g, int inner, BFloat16* y, float* log_sum) {
  const int tiles = (g.length + kTile - 1) / kTile, key_tiles = (g.memory + kTile - 1) / kTile;
  int64_t block = blockIdx.x;
  const int i0 = (tiles - 1 - static_cast<int>(block % tiles)) * kTile;
  block /= tiles;
  const int h = static_cast<int>(block % g.heads), b = static_cast<int>(block / g.heads);
  const MmaThread me;
  BFloat16* const queries = reinterpret_cast<BFloat16*>(shared_memory());
  BFloat16* const keys = queries + mma_tile(inner);
  BFloat16* const values = keys + 2 * mma_tile(inner);

  bring_queries(g, inner, b, h, i0, queries);
  RowState rows[2];
  int shifts[2];
  shifts_of(g, me, b, i0, shifts);
  MmaSums<kMost / 8> mixed;
  clear(mixed);
  const auto next = [&](int n) {
    do ++n;
    while (n < key_tiles && !tile_is_seen(g, b, i0, n * kTile));
    return n;
  };
  const auto bring = [&](int stage, int n) {
    bring_keys(g, inner, b, h, n * kTile, keys + stage * mma_tile(inner));
    bring_values(g, b, h, n * kTile, values + stage * mma_tile(g.head));
  };
  each_brought<2>(0, key_tiles, next, bring, [&](int stage, int n) {
    MmaScores s;
    product_of_rows(me, queries, keys + stage * mma_tile(inner), inner, s);
    add_terms(g, me, b, h, i0, n * kTile, shifts, s);
    normalise(g, me, b, i0, n * kTile, s, rows, mixed);
    add_weighted_rows(me, s, values + stage * mma_tile(g.head), g.head, mixed);
  });
  copy_async_wait<0>();

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = reduce_quad<Sum>(rows[half].sum);
    const bool any = reduce_quad<Largest>(rows[half].seen ? 1 : 0) != 0;
    const int i = i0 + me.row(half);
    if (i >= g.length) continue;
    const float factor = 1 / total;  // scores that are all −∞ give NaN, as a softmax does
    BFloat16* const out = y + g.query(b, i, h) * g.head;
#pragma unroll
    for (int n = 0; n < kMost / 8; ++n)
      if (n * 8 < g.head)
        *reinterpret_cast<uint32_t*>(out + me.column(n, 0)) =
            any ? two_bfloat16(mixed[n][2 * half] * factor, mixed[n][2 * half + 1] * factor) : 0;
    if (me.lane % 4 == 0) log_sum[g.row(b, h, i)] = any ? rows[half].maximum + logf(total) : 0;
  }
}

}  // namespace

void dot_attention_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner, BFloat16* y,
                          float* log_sum) {
  const int64_t blocks = static_cast<int64_t>(g.batch) * g.heads * tiles_of(g.length);
  const int64_t shared = (3 * mma_tile(inner) + 2 * mma_tile(g.head)) * static_cast<int64_t>(sizeof(BFloat16));
  const Grid grid{"dot_attention_mma_kernel", blocks, kMmaThreads, shared};
  if (inner <= 64 && g.head <= 64)
    launch(stream, grid, dot_attention_mma_kernel<64>, g, inner, y, log_sum);
  else
    launch(stream, grid, dot_attention_mma_kernel<128>, g, inner, y, log_sum);
}

}  // namespace synthesizer::cuda
