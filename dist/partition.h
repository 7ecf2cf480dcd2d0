// The partition pass: from the global graph, gradients and optimizer included, to one rank's graph along one mesh axis.
// Applied to the axes one after the other. See DESIGN: a split contraction gives a partial value, partial values stay
// so through linear ops, and collectives appear only where a value is needed otherwise than it is.
#pragma once

#include <memory>

#include "core/graph/graph.h"
#include "core/graph/layout.h"
#include "core/graph/report.h"

namespace synthesizer {

// `graph` is whole along `axis`; in the result every tensor has this rank's size. Leaves are split along the dim that
// the layout maps to the axis; marked outputs are whole. Throws UsageError if two dims of one tensor are mapped to the
// axis, if a dim does not divide by its size, or if an op cannot be run on what it is given.
// With `zero` each parameter's optimizer state is split along the axis too, by the largest of its dims that the layout
// maps to no axis and that divides (else it stays whole), and so is what the update computes of it: ZeRO, stage 1
// (Rajbhandari et al. 2020). Gradients are then reduced and scattered, new parameters gathered.
// `placements`, if given, gets the placement of every node of the result.
std::unique_ptr<Graph> partition(const Graph& graph, const Layout& layout, const AxisIndex& axis,
                                 PlacementsByName* placements = nullptr, bool zero = false);

}  // namespace synthesizer
