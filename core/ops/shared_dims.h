// What the ops that apply one alignment to a whole batch have in common: their dims, and the checks of these.
#pragma once

#include <span>
#include <string_view>

#include "core/graph/op.h"

namespace synthesizer {

// Of weights (or their logits) [heads, query, key] and values [batch, key, heads, head].
struct SharedDims {
  // Throws Error "[op] …: got …, expected …" where they do not fit; the weights are of compute_type() of the values'
  // type. `what` names the weights.
  SharedDims(std::string_view op, std::string_view what, const ValueType& weights, const ValueType& values);

  Shape result() const { return {batch, query, heads, head}; }

  Dim batch, query, key, heads, head;
};

}  // namespace synthesizer
