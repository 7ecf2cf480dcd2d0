// Passes that make a graph cheaper and change no result beyond rounding.
#pragma once

#include <memory>

#include "core/graph/graph.h"

namespace synthesizer {

// Drops nodes that no output and no update needs (leaves stay: the state is not a pass's to change).
std::unique_ptr<Graph> eliminate_dead(const Graph& graph);
// Merges nodes with equal op, attributes and inputs.
std::unique_ptr<Graph> merge_common(const Graph& graph);

}  // namespace synthesizer
