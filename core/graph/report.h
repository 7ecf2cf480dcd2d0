// What a graph holds and costs, for people: a table, JSON lines, Graphviz; and totals.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace synthesizer {

// Where each node's outputs are, by node name: filled in by the partition pass.
using PlacementsByName = std::map<std::string, std::vector<Placement>>;

// One line a node.
struct NodeReport {
  int id = 0;
  std::string name, op, attributes, dims, dtype, placement;  // dims, dtype and placement of the first output
  int64_t bytes = 0;                                         // of all outputs
  int64_t flops = 0;
};
std::vector<NodeReport> report_nodes(const Graph& graph, const PlacementsByName& placements);

// Columns aligned, with totals in the last line.
std::string graph_table(const Graph& graph, const PlacementsByName& placements);
// Graphviz: a box an op, an edge a value labelled with its dims.
std::string graph_dot(const Graph& graph);

// Whether the op's work is matrix products: einsum, linear_cross_entropy, shared_attention, shared_product,
// dot_attention and their gradients.
bool is_product(const Op& op);
// Floating-point operations of those ops. What is done again counts once: these are the model's, which utilisation is
// measured by.
int64_t product_flops(const Graph& graph);
// Floating-point operations, of all ops, that a step does a second time (core/graph/recompute.h).
int64_t recomputed_flops(const Graph& graph);

}  // namespace synthesizer
