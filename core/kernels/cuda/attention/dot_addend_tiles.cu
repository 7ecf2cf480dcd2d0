// The gradient of an addend by plain multiplications.
#include "core/kernels/cuda/attention/dot_gradient_tiles.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

// The gradient of an addend that has queries, a tile of dS: of all examples in order or, kPlaces, of all documents,
// whose tiles begin anywhere in an example (else `documents` is nothing). `add`: to what is in dS.
template <typename E, bool kPlaces>
__global__ void __launch_bounds__(kTileThreads)
    attention_addend_kernel(const __grid_constant__ DotArguments<E> g, const __grid_constant__ Documents documents,
                            bool add, Compute<E>* dsum) {
  using T = Compute<E>;
  const Place place((g.length + kTile - 1) / kTile, g.heads);
  const int h = place.head, p0 = place.first, q0 = place.column;
  const TileMemory<T> memory;
  Elements<T> sums;
  clear(sums);
  const auto add_part = [&](const SumPart& at) {
    Elements<T> ds;
    score_gradients(g, memory, at.example, h, at.i0, at.j0, ds);
#pragma unroll
    for (int r = 0; r < kEach; ++r)
#pragma unroll
      for (int c = 0; c < kEach; ++c)
        if (!kPlaces || at.counts(at.i0 + tile_row() + r, at.j0 + tile_column() + c)) sums[r][c] += ds[r][c];
  };
  if (kPlaces && !(g.causal && q0 >= p0 + kTile)) {
    const int begin = documents.starts[0], end = documents.starts[g.batch], p = p0 > q0 ? p0 : q0;
    for (int n = next_document(documents.list, begin - 1, end, p); n < end;
         n = next_document(documents.list, n, end, p))
      add_part(SumPart(documents, n, p0, q0));
  }
  for (int b = 0; !kPlaces && b < g.batch; ++b)
    if (tile_is_seen(g, b, p0, q0)) add_part(SumPart(b, p0, q0));
#pragma unroll
  for (int r = 0; r < kEach; ++r)
#pragma unroll
    for (int c = 0; c < kEach; ++c) {
      const int p = p0 + tile_row() + r, q = q0 + tile_column() + c;
      if (p >= g.length || q >= g.memory) continue;
      T& sum = dsum[(static_cast<int64_t>(h) * g.length + p) * g.memory + q];
      sum = add ? sum + sums[r][c] : sums[r][c];
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
void DotAddendGradientByTiles<E>::run(cudaStream_t stream, const DotArguments<E>& g, const DotGradients<E>& to) {
  const int64_t query_tiles = tiles_of(g.length), key_tiles = tiles_of(g.memory);
  if (g.addend_by_key) {
    launch(stream, tiles_grid<E>("attention_key_addend_kernel", to.groups * g.heads * key_tiles, 1),
           attention_key_addend_kernel<E>, g, to.groups, to.addend);
    return;
  }
  const Grid grid = tiles_grid<E>("attention_addend_kernel", g.heads * query_tiles, key_tiles);
  if (g.positions != nullptr)
    launch(stream, grid, attention_addend_kernel<E, true>, g, to.documents, to.add_to_addend, to.addend);
  else
    launch(stream, grid, attention_addend_kernel<E, false>, g, to.documents, to.add_to_addend, to.addend);
}

template struct DotAddendGradientByTiles<float>;
template struct DotAddendGradientByTiles<double>;
template struct DotAddendGradientByTiles<BFloat16>;

}  // namespace synthesizer::cuda
