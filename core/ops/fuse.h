// The optimize pass that replaces a few nodes by one that does their work.
#pragma once

#include <memory>

#include "core/graph/graph.h"

namespace synthesizer {

// The graph with these replaced, where the inner value has no other user and is no result of the step:
//   x + embedding_gradient(ids, dy)  →  embedding_gradient(ids, dy, base x): rows are added where they belong, and no
//   second gradient the size of the table is made. Chains become chains.
//   f32(einsum of bf16), f32(sum of bf16)  →  wide ones: not rounded to bf16 on the way. These are the gradients of
//   weights.
// Runs before partition; values change only by rounding.
std::unique_ptr<Graph> fuse(const Graph& graph);

}  // namespace synthesizer
