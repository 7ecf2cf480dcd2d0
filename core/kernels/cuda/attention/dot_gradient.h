// The ways to compute the gradient of attention, and where they put what they make.
#pragma once

#include "core/kernels/cuda/attention/dot_arguments.h"
#include "core/kernels/cuda/attention/dot_documents.h"

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
  Compute<E>* addend;   // [heads, length, memory], or if by key [groups, heads, memory]; null: not wanted
  bool add_to_addend;   // to what the former has
  Documents documents;  // where there are positions and an addend
  E* scores;  // of pairs apart, [batch, length, heads, memory] by the keys' places, zeros so far; null: there are none
};

// By plain multiplications, any type and size (dot_tiles.h). The first calls the second, for an addend.
template <typename E>
struct DotGradientByTiles {
  static void run(cudaStream_t stream, const DotArguments<E>& g, const DotGradients<E>& to);
};
template <typename E>
struct DotAddendGradientByTiles {
  static void run(cudaStream_t stream, const DotArguments<E>& g, const DotGradients<E>& to);
};

// By tensor cores, where DotSizes::tensor_cores(); shared keys are as with_rounded_keys() makes them. The first calls
// the others: the second for an addend that has queries, the third for all else but queries and scores.
void dot_gradient_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner,
                         const DotGradients<BFloat16>& to);
void dot_addend_gradient_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner,
                                const DotGradients<BFloat16>& to);
void dot_key_gradients_by_mma(cudaStream_t stream, const DotArguments<BFloat16>& g, int inner,
                              const DotGradients<BFloat16>& to);

}  // namespace synthesizer::cuda
