// The optimize pass that puts the small work of all parameters' updates into a few nodes (core/ops/horizontal.h).
#pragma once

#include <memory>

#include "core/graph/graph.h"

namespace synthesizer {

// The graph with nodes of the update put together: AdamW, and elementwise nodes, sums and chains, which all become
// chains. Those of one kind that do not depend on each other become one node. Nothing is put together that would make
// tensors live longer: a node joins if what it reads lives between steps, is small, or is read after all gradients are
// there anyway, and if what it gives is small or lies in the memory of what lives between steps. Of other results, as
// ZeRO's new parameters are before they are gathered, a node that comes after all gradients gives up to 32 MiB at once.
//
// No result changes by a bit. It is the last pass, after make_chains, and worth it where a start is dear beside the
// work: on a GPU.
std::unique_ptr<Graph> fuse_horizontally(const Graph& graph);

}  // namespace synthesizer
