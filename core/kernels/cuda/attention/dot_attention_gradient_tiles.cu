// The gradient of attention by plain multiplications. Every kernel makes the tiles of scores again that it needs; each
// owns what it writes, so that all sums have one order: a block has a tile of queries, of keys or of the addend, and 64
// columns of what it makes.
#include "core/kernels/cuda/attention/dot_gradient.h"
#include "core/kernels/cuda/attention/dot_tiles.h"
#include "core/kernels/cuda/launch.h"

namespace synthesizer::cuda {
namespace {

// Which tile of so many, of the head and example (or group of examples) that come after it in the block's number.
struct Place {
  __device__ Place(int64_t tiles, int64_t heads) {
    int64_t block = blockIdx.x;
    first = static_cast<int>(block % tiles) * kTile;
    block /= tiles;
    head = static_cast<int>(block % heads);
    outer = static_cast<int>(block / heads);
    column = static_cast<int>(blockIdx.y) * kTile;
  }
  int first, head, outer, column;  // column: the first of the block's
};

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

// P and the gradient of the scores.
template <typename E>
__device__ void score_gradients(const DotArguments<E>& g, const TileMemory<Compute<E>>& memory, int b, int h, int i0,
                                int j0, Elements<Compute<E>>& ds) {
  Elements<Compute<E>> p;
  scores_of(g, memory, b, h, i0, j0, p);
  weight_gradients_of(g, memory, b, h, i0, j0, ds);
  to_weights(g, b, h, i0, j0, p);
  to_score_gradients(g, b, h, i0, p, ds);
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

// Calls visit(example, i0) for the tiles of queries that see keys of the tile at j0, of a group of examples in order.
template <typename E, typename Visit>
__device__ void each_tile_of_queries(const DotArguments<E>& g, int group, int groups, int j0, Visit visit) {
  const auto begin = [&](int n) { return static_cast<int>(static_cast<int64_t>(g.batch) * n / groups); };
  for (int b = begin(group); b < begin(group + 1); ++b)
    for (int i0 = 0; i0 < g.length; i0 += kTile)
      if (tile_is_seen(g, b, i0, j0)) visit(b, i0);
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

// The gradient of an addend that has queries, of all examples in order: a tile of dS.
template <typename E>
__global__ void __launch_bounds__(kTileThreads)
    attention_addend_kernel(const __grid_constant__ DotArguments<E> g, Compute<E>* dsum) {
  using T = Compute<E>;
  const Place place((g.length + kTile - 1) / kTile, g.heads);
  const int h = place.head, i0 = place.first, j0 = place.column;
  const TileMemory<T> memory;
  Elements<T> sums;
  clear(sums);
  for (int b = 0; b < g.batch; ++b) {
    if (!tile_is_seen(g, b, i0, j0)) continue;
    Elements<T> ds;
    score_gradients(g, memory, b, h, i0, j0, ds);
#pragma unroll
    for (int r = 0; r < kEach; ++r)
#pragma unroll
      for (int c = 0; c < kEach; ++c) sums[r][c] += ds[r][c];
  }
#pragma unroll
  for (int r = 0; r < kEach; ++r)
#pragma unroll
    for (int c = 0; c < kEach; ++c) {
      const int i = i0 + tile_row() + r, j = j0 + tile_column() + c;
      if (i < g.length && j < g.memory) dsum[(static_cast<int64_t>(h) * g.length + i) * g.memory + j] = sums[r][c];
    }
}

// And of one that has keys alone, of a group of examples: [groups, heads, memory].
template <typename E>
__global__ void __launch_bounds__(kTileThreads)
    attention_key_addend_kernel(const __grid_constant__ DotArguments<E> g, int groups, Compute<E>* of_group) {
  using T = Compute<E>;
  const Place place((g.memory + kTile - 1) / kTile, g.heads);
  const int h = place.head, j0 = place.first;
  const TileMemory<T> memory;
  T sums[kEach] = {};
  each_tile_of_queries(g, place.outer, groups, j0, [&](int b, int i0) {
    Elements<T> ds;
    score_gradients(g, memory, b, h, i0, j0, ds);
#pragma unroll
    for (int r = 0; r < kEach; ++r)
#pragma unroll
      for (int c = 0; c < kEach; ++c) sums[c] += ds[r][c];
  });
#pragma unroll
  for (int c = 0; c < kEach; ++c) memory.weights[tile_row() / kEach * kPitch + tile_column() + c] = sums[c];
  __syncthreads();
  const int column = static_cast<int>(threadIdx.x);
  if (column >= kTile || j0 + column >= g.memory) return;
  T total = 0;
  for (int row = 0; row < kSide; ++row) total += memory.weights[row * kPitch + column];
  of_group[(static_cast<int64_t>(place.outer) * g.heads + h) * g.memory + j0 + column] = total;
}

}  // namespace

template <typename E>
void DotGradientByTiles<E>::run(cudaStream_t stream, const DotArguments<E>& g, const DotGradients<E>& to) {
  const int64_t query_tiles = tiles_of(g.length), key_tiles = tiles_of(g.memory);
  const int64_t all = static_cast<int64_t>(g.batch) * g.heads;
  const auto grid = [](const char* name, int64_t blocks, int64_t columns) {
    return Grid{name, blocks, kTileThreads, TileMemory<Compute<E>>::kBytes, columns};
  };
  launch(stream, grid("attention_mean_kernel", all * query_tiles, 1), attention_mean_kernel<E>, g);
  if (to.addend != nullptr && g.addend_by_key)
    launch(stream, grid("attention_key_addend_kernel", to.groups * g.heads * key_tiles, 1),
           attention_key_addend_kernel<E>, g, to.groups, to.addend);
  else if (to.addend != nullptr)
    launch(stream, grid("attention_addend_kernel", g.heads * query_tiles, key_tiles), attention_addend_kernel<E>, g,
           to.addend);
  for (int p = 0; p < g.pairs; ++p) {
    const DotPair& pair = g.pair[p];
    launch(stream, grid("attention_queries_kernel", all * query_tiles, tiles_of(pair.width)),
           attention_queries_kernel<E>, g, pair, to.queries[p]);
    const int groups = pair.shared ? to.groups : g.batch;
    launch(stream, grid("attention_keys_kernel", groups * g.heads * key_tiles, tiles_of(pair.width)),
           attention_keys_kernel<E>, g, pair, groups, to.own_keys[p], to.shared_keys[p]);
  }
  launch(stream, grid("attention_values_kernel", all * key_tiles, tiles_of(g.head)), attention_values_kernel<E>, g,
         to.values);
}

template struct DotGradientByTiles<float>;
template struct DotGradientByTiles<double>;
template struct DotGradientByTiles<BFloat16>;

}  // namespace synthesizer::cuda
