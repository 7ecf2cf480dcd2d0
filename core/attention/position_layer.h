// The last layer of the functions that compute a row of logits from x: one output a position.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

// in.weight · (W·hidden + b). hidden [batch, length, …], weight [heads, …, memory_position] with the rest of hidden's
// dims, bias [heads, memory_position]; the heads may share both, bias may be no value. Both are cut before the product:
// positions that the batch has not are not computed. In factors where a position has one hidden layer, of each head or
// of all.
Term position_layer(Value hidden, Value weight, Value bias, const AttentionInput& in);

}  // namespace synthesizer
