// The partition pass: from the global graph, gradients and optimizer included, to one rank's graph along one mesh axis.
// Applied to the axes one after the other. See DESIGN: a split contraction gives a partial value, partial values stay
// so through linear ops, and collectives appear only where a value is needed otherwise than it is.
#pragma once

#include <memory>

#include "core/graph/communicator.h"
#include "core/graph/graph.h"
#include "core/graph/layout.h"
#include "core/graph/report.h"

namespace synthesizer {

// What becomes of the optimizer's update along the batch's axis.
struct UpdateSharding {
  // 1: each parameter's optimizer state is split, by the dim that dist/update_parts.h chooses, and so is what the
  // update computes of it. Gradients are then reduced and scattered, new parameters gathered. 2: sums of gradients over
  // micro-batches are split too, so each micro-batch's are scattered (ZeRO, Rajbhandari et al. 2020).
  int zero = 0;
  // Of a step with `reduction: ORDERED`, whose sums over ranks are parts of one tree over so many leaves: gradients are
  // reduced as they leave the backward pass, and nothing of the update is computed on partial values. 0: not so.
  int leaves = 0;
  // In what gradients travel where they are summed. Of an ordered step as they are.
  Wire wire = Wire::kFull;
};

// `graph` is whole along `axis`; in the result every tensor has this rank's size. Leaves are split along the dim that
// the layout maps to the axis; marked outputs are whole. Throws UsageError if two dims of one tensor are mapped to the
// axis, if a dim does not divide by its size, or if an op cannot be run on what it is given.
// Sums over micro-batches (Leaf::Kind::kGathered) lie as what is added to them is made, partial ones included.
// `placements`, if given, gets the placement of every node of the result.
std::unique_ptr<Graph> partition(const Graph& graph, const Layout& layout, const AxisIndex& axis,
                                 PlacementsByName* placements = nullptr, const UpdateSharding& update = {});

}  // namespace synthesizer
