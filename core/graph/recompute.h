// Activation recompute (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost") as a graph pass: values of
// the forward pass that backward reads are made a second time, right before their first use there, so that the first
// ones are not kept in between. What is computed does not change by a bit: the copies are the same ops on the same
// inputs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/graph/graph.h"

namespace synthesizer {

// What is made again. Everything else that backward reads is kept, as is always what a leaf gives or a collective.
struct RecomputeRegions {
  // The region that a node of the forward pass is part of; "": of none, so what it makes is kept.
  std::function<std::string(const Node&)> of;
  // Whether what other parts of the forward pass read of a region is kept: then a region is made again from what came
  // into it, and no chain of regions from the first on. False: nothing of a region is kept.
  bool keep_results = false;
};

// `loss` is the output, or the node, whose ancestors are the forward pass; all other nodes are backward. A copy's name
// is the node's and "/recomputed"; it is made only if backward has a use for it, and once.
//
// The pass is the last: it takes one rank's graph, partitioned and bucketed. There collectives are nodes to see, and
// none is copied: what was reduced between ranks stays in memory (a tensor as large as the residual stream for each
// all-reduce of a block) and a step sends what it sends without recompute. Nothing after it merges equal nodes, which
// would undo it; and nodes run in the order they are in, which puts a copy where it is read.
std::unique_ptr<Graph> recompute(const Graph& graph, std::string_view loss, const RecomputeRegions& regions);

// Whether the node is a copy that recompute() made.
bool is_recomputed(const Node& node);
// The name of the node that it is a copy of; of any other node its own.
std::string_view original_name(const Node& node);

}  // namespace synthesizer
