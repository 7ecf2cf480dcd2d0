// The ways to compute the gradient of attention, and where they put what they make.
#pragma once

#include "core/kernels/cuda/attention/dot_arguments.h"

namespace synthesizer::cuda {

// Groups of examples that have sums of their own of what all examples share; these are added in the groups' order.
inline constexpr int64_t kMostGroups = 16;

// Queries' gradients and those of own keys do not lie where an input does, which later kernels read: they are copied
// there at the end. The values' may.
template <typename E>
struct DotGradients {
  E *queries[kMostPairs], *own_keys[kMostPairs];  // of keys that are shared: null
  E* values;
  int groups;
  Compute<E>* shared_keys[kMostPairs];  // [groups, heads, width, memory]; of own keys: null
  Compute<E>* addend;  // [heads, length, memory], or if by key [groups, heads, memory]; null: not wanted
};

// By plain multiplications, any type and size (dot_tiles.h).
template <typename E>
struct DotGradientByTiles {
  static void run(cudaStream_t stream, const DotArguments<E>& g, const DotGradients<E>& to);
};

}  // namespace synthesizer::cuda
