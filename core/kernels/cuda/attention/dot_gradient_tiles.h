// What the gradient's kernels by plain multiplications have in common.
#pragma once

#include "core/kernels/cuda/attention/dot_gradient.h"
#include "core/kernels/cuda/attention/dot_tiles.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {

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

template <typename E>
inline Grid tiles_grid(const char* name, int64_t blocks, int64_t columns) {
  return {name, blocks, kTileThreads, TileMemory<Compute<E>>::kBytes, columns};
}

// P and the gradient of the scores.
template <typename E>
__device__ inline void score_gradients(const DotArguments<E>& g, const TileMemory<Compute<E>>& memory, int b, int h,
                                       int i0, int j0, Elements<Compute<E>>& ds) {
  Elements<Compute<E>> p;
  scores_of(g, memory, b, h, i0, j0, p);
  weight_gradients_of(g, memory, b, h, i0, j0, ds);
  to_weights(g, b, h, i0, j0, p);
  to_score_gradients(g, b, h, i0, p, ds);
}

// Calls visit(example, i0) for the tiles of queries that see keys of the tile at j0, of a group of examples in order.
template <typename E, typename Visit>
__device__ inline void each_tile_of_queries(const DotArguments<E>& g, int group, int groups, int j0, Visit visit) {
  const auto begin = [&](int n) { return static_cast<int>(static_cast<int64_t>(g.batch) * n / groups); };
  for (int b = begin(group); b < begin(group + 1); ++b)
    for (int i0 = 0; i0 < g.length; i0 += kTile)
      if (tile_is_seen(g, b, i0, j0)) visit(b, i0);
}

}  // namespace synthesizer::cuda
