// Element-wise reduction of several ranks' blocks, for communicators that reduce on the host. The blocks are joined in
// one binary tree over the ranks, whatever carries them: (0 + 1) + (2 + 3). A power-of-two number of ranks, each with
// the tree over its own leaves of a batch, so gives the tree over all leaves (`reduction: ORDERED`).
#pragma once

#include <cstdint>
#include <span>

#include "core/graph/communicator.h"

namespace synthesizer {

// out[i] = blocks[0][i] (+ or max) … for i < count, in the tree's order. `out` may be blocks[0], and no other of them.
void reduce_blocks(std::span<const void* const> blocks, void* out, int64_t count, DType dtype, Reduction reduction);

}  // namespace synthesizer
