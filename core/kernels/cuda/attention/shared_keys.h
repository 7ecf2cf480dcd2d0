// Keys that all examples share, [heads, width, memory] of the wide type, as products take them: rounded, a row a key.
#pragma once

#include "core/kernels/cuda/attention/dot_arguments.h"
#include "core/kernels/cuda/attention/dot_documents.h"

namespace synthesizer::cuda {

template <typename E>
struct SharedKeys {
  // To [heads, memory, width].
  void round(cudaStream_t stream, const Compute<E>* keys, E* rows) const;
  // Each token's key at its place, positions [batch, memory], to [batch, memory, heads, width] as own keys lie; zeros
  // where a position is not in [0, memory).
  void at_places(cudaStream_t stream, const Compute<E>* keys, const int32_t* positions, int64_t batch, E* rows) const;
  // Back: of each place the sum of what tokens have there, in the order of documents.
  void sum_of_places(cudaStream_t stream, const E* rows, const Documents& documents, int64_t batch,
                     Compute<E>* keys) const;

  int heads, width, memory;
  bool heads_second = false;  // keys [width, heads, memory]; of round() alone
};

// With positions, the arguments with shared keys brought to each token's place, in `copies`, one pair's behind the
// other's, aligned as pieces of workspace are: they are own keys then. (DotSizes::by_places() says of which pairs.)
template <typename E>
DotArguments<E> with_placed_keys(cudaStream_t stream, DotArguments<E> g, E* copies) {
  for (int p = 0; p < g.pairs && g.positions != nullptr; ++p) {
    DotPair& pair = g.pair[p];
    if (!pair.shared) continue;
    const auto* const keys = static_cast<const Compute<E>*>(pair.keys);
    SharedKeys<E>{g.heads, pair.width, g.memory}.at_places(stream, keys, g.positions, g.batch, copies);
    pair.keys = copies;
    pair.shared = false;
    const int64_t bytes = static_cast<int64_t>(g.batch) * g.memory * g.heads * pair.width * sizeof(E);
    copies += align_up(bytes) / static_cast<int64_t>(sizeof(E));
  }
  return g;
}

}  // namespace synthesizer::cuda
