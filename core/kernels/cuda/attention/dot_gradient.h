// The ways to compute the gradient of attention, and where they put what they make.
#pragma once

#include "core/kernels/cuda/attention/dot_arguments.h"

namespace synthesizer::cuda {

// Groups of examples that have sums of their own of what all examples share; these are added in the groups' order.
inline constexpr int64_t kMostGroups = 16;

// Queries' gradients do not lie where an input does, which later kernels read: they are copied there at the end. By
// plain multiplications this is so of own keys too; the values' gradients may take the place of values.
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

// By tensor cores, where DotSizes::tensor_cores(); shared keys are as round_shared_keys() makes them. The first calls
// the second, for all but queries and an addend that has these.
void dot_gradient_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner,
                         const DotGradients<BFloat16>& to);
void dot_key_gradients_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner,
                              const DotGradients<BFloat16>& to);

}  // namespace synthesizer::cuda
