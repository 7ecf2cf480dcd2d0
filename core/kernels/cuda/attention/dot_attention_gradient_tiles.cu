// The gradient of attention by plain multiplications. Every kernel makes the tiles of scores again that it needs; each
// owns what it writes, so that all sums have one order: a block has a tile of queries, of keys or of the addend, and 64
// columns of what it makes.
#include "core/kernels/cuda/attention/dot_gradient_tiles.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

// The mean of dP by weight of each row. (It is dY·Y too, but only nearly: of a query that sees one key the scores'
// gradient must come out as exactly 0, or an optimizer that divides by its size makes a step of what rounding has left.
// So dP here has the bits that the other kernels' has.)
template <typename E>
__global__ void __launch_bounds__(kTileThreads) attention_mean_kernel(const __grid_constant__ DotArguments<E> g) {
  using T = Compute<E>;
  const Place place((g.length + kTile - 1) / kTile, g.heads);
  const int b = place.outer, h = place.head, i0 = place.first;
  const TileMemory<T> memory;
  T mean[kEach] = {};
  for (int j0 = 0; j0 < g.memory; j0 += kTile) {
    if (!tile_is_seen(g, b, i0, j0)) continue;
    Elements<T> p, dp;
    scores_of(g, memory, b, h, i0, j0, p);
    weight_gradients_of(g, memory, b, h, i0, j0, dp);
    to_weights(g, b, h, i0, j0, p);
#pragma unroll
    for (int r = 0; r < kEach; ++r)
#pragma unroll
      for (int c = 0; c < kEach; ++c) mean[r] += p[r][c] == 0 ? 0 : p[r][c] * dp[r][c];
  }
  reduce_rows<Sum>(mean);
#pragma unroll
  for (int r = 0; r < kEach; ++r) {
    const int i = i0 + tile_row() + r;
    if (i < g.length && tile_column() == 0) g.mean[g.row(b, h, i)] = mean[r];
  }
}

// dQ of one pair = dS K.
template <typename E>
__global__ void __launch_bounds__(kTileThreads)
    attention_queries_kernel(const __grid_constant__ DotArguments<E> g, const __grid_constant__ DotPair pair, E* dq) {
  using T = Compute<E>;
  const Place place((g.length + kTile - 1) / kTile, g.heads);
  const int b = place.outer, h = place.head, i0 = place.first, a0 = place.column, width = pair.width;
  const TileMemory<T> memory;
  Elements<T> sums;
  clear(sums);
  for (int j0 = 0; j0 < g.memory; j0 += kTile) {
    if (!tile_is_seen(g, b, i0, j0)) continue;
    Elements<T> ds;
    score_gradients(g, memory, b, h, i0, j0, ds);
    put_by_key<E>(memory, ds);
    add_weighted(
        memory, g.memory - j0,
        [&](int column, int k) {
          const int a = a0 + column, j = j0 + k;
          if (a >= width) return T(0);
          return pair.shared ? widened(rounded<E>(static_cast<const T*>(
                                   pair.keys)[(static_cast<int64_t>(h) * width + a) * g.memory + j]))
                             : widened(static_cast<const E*>(pair.keys)[g.key(b, j, h) * width + a]);
        },
        sums);
  }
#pragma unroll
  for (int r = 0; r < kEach; ++r)
#pragma unroll
    for (int c = 0; c < kEach; ++c) {
      const int i = i0 + tile_row() + r, a = a0 + tile_column() + c;
      if (i < g.length && a < width) dq[g.query(b, i, h) * width + a] = rounded<E>(sums[r][c]);
    }
}

// dS of pairs apart, by the keys' places: a tile a block.
template <typename E>
__global__ void __launch_bounds__(kTileThreads)
    attention_scores_kernel(const __grid_constant__ DotArguments<E> g, E* dscores) {
  const Place place((g.length + kTile - 1) / kTile, g.heads);
  const int b = place.outer, h = place.head, i0 = place.first, j0 = place.column;
  const TileMemory<Compute<E>> memory;
  if (!tile_is_seen(g, b, i0, j0)) return;
  Elements<Compute<E>> ds;
  score_gradients(g, memory, b, h, i0, j0, ds);
#pragma unroll
  for (int r = 0; r < kEach; ++r) {
    const int i = i0 + tile_row() + r, shift = i < g.length ? g.shift(b, i) : -1;
    if (shift < 0) continue;
    E* const row = dscores + g.query(b, i, h) * g.memory - shift;
#pragma unroll
    for (int c = 0; c < kEach; ++c)
      if (const int j = j0 + tile_column() + c; j >= shift && j < g.memory) row[j] = rounded<E>(ds[r][c]);
  }
}

// dV = Pᵀ dY. It does not read V, in whose place dV may be.
template <typename E>
__global__ void __launch_bounds__(kTileThreads)
    attention_values_kernel(const __grid_constant__ DotArguments<E> g, E* dv) {
  using T = Compute<E>;
  const Place place((g.memory + kTile - 1) / kTile, g.heads);
  const int h = place.head, j0 = place.first, a0 = place.column;
  const TileMemory<T> memory;
  Elements<T> sums;
  clear(sums);
  each_tile_of_queries(g, place.outer, g.batch, j0, [&](int b, int i0) {
    Elements<T> p;
    scores_of(g, memory, b, h, i0, j0, p);
    to_weights(g, b, h, i0, j0, p);
    put_by_query<E>(memory, p);
    add_weighted(
        memory, g.length - i0,
        [&](int column, int k) {
          const int a = a0 + column;
          return a < g.head ? widened(g.dy[g.query(b, i0 + k, h) * g.head + a]) : T(0);
        },
        sums);
  });
#pragma unroll
  for (int r = 0; r < kEach; ++r)
#pragma unroll
    for (int c = 0; c < kEach; ++c) {
      const int j = j0 + tile_row() + r, a = a0 + tile_column() + c;
      if (j < g.memory && a < g.head) dv[g.key(place.outer, j, h) * g.head + a] = rounded<E>(sums[r][c]);
    }
}

// dK of one pair = dSᵀ Q: of each example into `own`, or of shared keys, of a group of examples, into
// `of_group` [groups, heads, width, memory].
template <typename E>
__global__ void __launch_bounds__(kTileThreads)
    attention_keys_kernel(const __grid_constant__ DotArguments<E> g, const __grid_constant__ DotPair pair, int groups,
                          E* own, Compute<E>* of_group) {
  using T = Compute<E>;
  const Place place((g.memory + kTile - 1) / kTile, g.heads);
  const int h = place.head, j0 = place.first, a0 = place.column, width = pair.width;
  const TileMemory<T> memory;
  Elements<T> sums;
  clear(sums);
  each_tile_of_queries(g, place.outer, groups, j0, [&](int b, int i0) {
    Elements<T> ds;
    score_gradients(g, memory, b, h, i0, j0, ds);
    put_by_query<E>(memory, ds);
    add_weighted(
        memory, g.length - i0,
        [&](int column, int k) {
          const int a = a0 + column;
          return a < width ? widened(static_cast<const E*>(pair.queries)[g.query(b, i0 + k, h) * width + a]) : T(0);
        },
        sums);
  });
#pragma unroll
  for (int r = 0; r < kEach; ++r)
#pragma unroll
    for (int c = 0; c < kEach; ++c) {
      const int j = j0 + tile_row() + r, a = a0 + tile_column() + c;
      if (j >= g.memory || a >= width) continue;
      if (pair.shared)
        of_group[((static_cast<int64_t>(place.outer) * g.heads + h) * width + a) * g.memory + j] = sums[r][c];
      else
        own[g.key(place.outer, j, h) * width + a] = rounded<E>(sums[r][c]);
    }
}

}  // namespace

template <typename E>
void DotGradientByTiles<E>::run(cudaStream_t stream, const DotArguments<E>& g, const DotGradients<E>& to) {
  const int64_t query_tiles = tiles_of(g.length), key_tiles = tiles_of(g.memory);
  const int64_t all = static_cast<int64_t>(g.batch) * g.heads;
  launch(stream, tiles_grid<E>("attention_mean_kernel", all * query_tiles, 1), attention_mean_kernel<E>, g);
  if (to.addend != nullptr) DotAddendGradientByTiles<E>::run(stream, g, to);
  if (to.scores != nullptr)
    launch(stream, tiles_grid<E>("attention_scores_kernel", all * query_tiles, key_tiles), attention_scores_kernel<E>,
           g, to.scores);
  for (int p = 0; p < g.pairs; ++p) {
    const DotPair& pair = g.pair[p];
    launch(stream, tiles_grid<E>("attention_queries_kernel", all * query_tiles, tiles_of(pair.width)),
           attention_queries_kernel<E>, g, pair, to.queries[p]);
    const int groups = pair.shared ? to.groups : g.batch;
    launch(stream, tiles_grid<E>("attention_keys_kernel", groups * g.heads * key_tiles, tiles_of(pair.width)),
           attention_keys_kernel<E>, g, pair, groups, to.own_keys[p], to.shared_keys[p]);
  }
  launch(stream, tiles_grid<E>("attention_values_kernel", all * key_tiles, tiles_of(g.head)),
         attention_values_kernel<E>, g, to.values);
}

template struct DotGradientByTiles<float>;
template struct DotGradientByTiles<double>;
template struct DotGradientByTiles<BFloat16>;

}  // namespace synthesizer::cuda
