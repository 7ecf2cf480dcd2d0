// Element-wise reduction of several ranks' blocks, for communicators that reduce on the host. The blocks are joined in
// one binary tree over the ranks, whatever carries them: (0 + 1) + (2 + 3). A power-of-two number of ranks, each with
// the tree over its own leaves of a batch, so gives the tree over all leaves (`reduction: ORDERED`).
#pragma once

#include <cstdint>
#include <span>

#include "core/graph/communicator.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer {

// out[i] = blocks[0][i] (+ or max) … for i < count, in the tree's order. `out` may be blocks[0], and no other of them.
void reduce_blocks(std::span<const void* const> blocks, void* out, int64_t count, DType dtype, Reduction reduction);

// One rank's terms of a sum that travels as bfloat16.
struct Terms {
  const BFloat16* sent = nullptr;  // as they have travelled, or
  const float* here = nullptr;     // as this process has them,
  bool rounded = false;            // read as if they had travelled
};

// The sum of all blocks in the same tree, in float32. `out` may be what one of them has here.
void sum_terms(std::span<const Terms> blocks, float* out, int64_t count);

// Between float32 and what travels of it.
void round_to(BFloat16* to, const float* from, int64_t count);
void widen_to(float* to, const BFloat16* from, int64_t count);
// To what they are after they have travelled.
void round_in_place(float* data, int64_t count);

}  // namespace synthesizer
