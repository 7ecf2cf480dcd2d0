// The optimize pass that makes chains (core/ops/chain.h) of elementwise nodes, of the sums of what they give and of the
// updates that take it.
#pragma once

#include <memory>

#include "core/graph/graph.h"

namespace synthesizer {

// The graph with groups of nodes replaced, each by one in the place of its last node and under the name of the first
// whose value others read. No result changes by a bit. A value that costs a few operations on what a reader reads
// anyway is computed there again and never written. A node joins only if no other node between reads what the group
// gives, so the order of all others stays; what recompute() has copied joins only its like; a sum in parts
// (ReduceParts) joins nothing.
//
// With `dropouts` they are steps too. A mask that rows share is then drawn anew for each of them, which costs the CPU
// more than it saves; for a GPU, whose arithmetic is cheaper beside its memory.
//
// The pass is the last: it takes one rank's graph, after recompute.
std::unique_ptr<Graph> make_chains(const Graph& graph, bool dropouts = false);

}  // namespace synthesizer
