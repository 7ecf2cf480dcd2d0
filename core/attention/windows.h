// What functions that look at neighbours may see: no padding, and of a packed row nothing of another document.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

// What a filter of this width sees at each position of in.x, 0 for what it may not: [batch, length, window, model].
Value windows(const AttentionInput& in, int64_t width);

// x [batch, length or memory_length, …] with 0 at positions that are padding, so that no window sees what padding
// holds. Causal windows only look back, where no padding is, and those of packed rows are kept to their document: x
// itself.
Value live(Value x, const AttentionInput& in);

// A window's weights, [heads, window] or [batch, length, heads, window], with 0 for the places of another document; the
// weights themselves where rows are not packed.
Value within_document(Value weights, const AttentionInput& in, int64_t before);

}  // namespace synthesizer
