// The last layer of the functions that compute a row of logits from x: one output a position.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

// in.weight · (W·hidden + b), in factors. hidden [batch, length, heads, e] and weight [heads, e, memory_position] or
// [e, memory_position], which the heads share; or hidden [batch, length, e] and weight [heads, e, memory_position] or
// [e, heads, memory_position]. bias [heads, memory_position] or, shared, [memory_position]; it may be no value. Both
// are cut before the product: positions that the batch has not are not computed.
Term position_layer(Value hidden, Value weight, Value bias, const AttentionInput& in);

}  // namespace synthesizer
