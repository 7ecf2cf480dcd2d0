// The optimize pass that spares a training step the casts of its weights: a bf16 copy of each lives between steps, and
// whoever writes the weight writes the copy too, in the same loop over memory.
#pragma once

#include <memory>

#include "core/graph/graph.h"

namespace synthesizer {

// The graph with the casts of parameters to bf16 replaced by leaves that are derived of them (core/graph/leaf.h), and
// with the updates of such parameters writing these too: AdamW by itself, an Assign by another one of the same value,
// which make_chains puts into one loop. No result changes by a bit. A cast that is a result of the step stays.
//
// For one rank's graph, before recompute, which would make casts again, and before make_chains.
std::unique_ptr<Graph> keep_casts(const Graph& graph);

}  // namespace synthesizer
