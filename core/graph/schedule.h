// The order in which a Program runs the nodes: the order they were built in, but each collective as early as its inputs
// allow.
#pragma once

#include <vector>

#include "core/graph/graph.h"

namespace synthesizer {

struct Schedule {
  std::vector<int> order;  // node ids; leaves and views included (they run nothing)
  // By position: what runs there must have ended before the position wait[p] runs (p itself unless it is a collective).
  std::vector<int> wait;
};

// Throws Error if a node reads a tensor that an earlier one has overwritten.
Schedule schedule(const Graph& graph);

}  // namespace synthesizer
