// The optimize passes that replace a few nodes by one that does their work.
#pragma once

#include <memory>

#include "core/graph/graph.h"

namespace synthesizer {

// The graph with these replaced, where the inner value has no other user and is no result of the step:
//   x + embedding_gradient(ids, dy)  →  embedding_gradient(ids, dy, base x): rows are added where they belong, and no
//   second gradient the size of the table is made. Chains become chains.
//   f32(einsum of bf16), f32(sum of bf16)  →  wide ones: not rounded to bf16 on the way. These are the gradients of
//   weights.
//   relu_gradient(y, dropout(dy))  →  relu_gradient(dropout(y), dropout(dy)), of the same mask, where forward has the
//   first: what the mask keeps is positive where y is, and the rest is 0 anyway; so y need not be kept for backward.
// Values change only by rounding.
std::unique_ptr<Graph> fuse(const Graph& graph);

// The graph with these replaced, where nothing between the two nodes reads what either gives:
//   s = x + y, rms_norm(s)            →  rms_norm of x and the residual y, which gives s too
//   dx + rms_norm_gradient(…)         →  rms_norm_gradient(…, base dx)
//   relu(einsum), the gradient of a relu whose dy is an einsum  →  einsums with that for an epilogue, behind a bias
// What the second does is then done while the first one's values are in the cache; none changes by a bit. Runs after
// recompute.
std::unique_ptr<Graph> fuse_exactly(const Graph& graph);

}  // namespace synthesizer
