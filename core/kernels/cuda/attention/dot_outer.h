// Scores that are no product of queries and keys, but of two factors of the query: of key j first[j div b] ·
// second[j mod b].
#pragma once

#include "core/kernels/cuda/device/device_code.h"

namespace synthesizer::cuda {

// Sizes: `rows` queries (of all examples and heads, as they lie in memory), factors of a and b, a·b >= memory.
struct OuterSizes {
  int64_t rows;
  int a, b, memory;
};

// To scores [rows, memory], or, `add`, to what is there. `first` [rows, a], `second` [rows, b].
template <typename E>
void make_outer_scores(cudaStream_t stream, const OuterSizes& s, const E* first, const E* second, bool add,
                       Compute<E>* scores);
// The factors' gradients of dscores [rows, memory]; they may take the factors' places.
template <typename E>
void make_outer_gradients(cudaStream_t stream, const OuterSizes& s, const E* first, const E* second, const E* dscores,
                          E* dfirst, E* dsecond);

}  // namespace synthesizer::cuda
