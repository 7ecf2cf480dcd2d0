// Element-wise sum or maximum of two buffers, for the communicators that reduce by themselves.
#pragma once

#include <cstdint>

#include "core/graph/communicator.h"

namespace synthesizer {

// accumulator[i] = accumulator[i] (reduction) in[i], for `count` elements. A NaN in either operand stays a NaN.
void reduce_into(void* accumulator, const void* in, int64_t count, DType dtype, Reduction reduction);

}  // namespace synthesizer
