#include "core/graph/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/graph/recompute.h"

namespace synthesizer {
namespace {

Cost cost_of(const Graph& graph, const Node& node) { return node.op->cost(graph.input_types(node), node.outputs); }

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

}  // namespace

bool is_product(const Op& op) {
  return op.name() == "einsum" || op.name().starts_with("linear_cross_entropy") ||
         op.name().starts_with("shared_attention") || op.name().starts_with("shared_product") ||
         op.name().starts_with("dot_attention");
}

std::vector<NodeReport> report_nodes(const Graph& graph, const PlacementsByName& placements) {
  std::vector<NodeReport> rows;
  for (const Node& node : graph.nodes()) {
    NodeReport row;
    row.id = node.id;
    row.name = node.name;
    row.op = node.op->name();
    row.attributes = node.op->attributes();
    row.dims = node.outputs[0].shape.to_string();
    row.dtype = to_string(node.outputs[0].dtype);
    const auto it = placements.find(std::string(original_name(node)));
    row.placement = it == placements.end() ? "whole" : it->second[0].to_string();
    row.bytes = total_bytes(node.outputs);
    row.flops = cost_of(graph, node).flops;
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string graph_table(const Graph& graph, const PlacementsByName& placements) {
  const std::vector<NodeReport> rows = report_nodes(graph, placements);
  std::array<size_t, 4> width = {2, 4, 4, 9};
  int64_t bytes = 0, flops = 0;
  for (const NodeReport& row : rows) {
    width[0] = std::max(width[0], row.op.size());
    width[1] = std::max(width[1], row.dims.size());
    width[2] = std::max(width[2], row.name.size());
    width[3] = std::max(width[3], row.placement.size());
    bytes += row.bytes;
    flops += row.flops;
  }
  const auto line = [&](const auto& id, const auto& op, const auto& dims, const auto& dtype, const auto& row_bytes,
                        const auto& row_flops, const auto& placement, const auto& name) {
    return fmt::format("{:>5} {:<{}} {:<{}} {:<5} {:>13} {:>16} {:<{}} {}\n", id, op, width[0], dims, width[1], dtype,
                       row_bytes, row_flops, placement, width[3], name);
  };
  std::string text = line("id", "op", "dims", "dtype", "bytes", "flops", "placement", "name");
  for (const NodeReport& row : rows)
    text += line(row.id, row.op, row.dims, row.dtype, row.bytes, row.flops, row.placement, row.name);
  return text + line("", "total", "", "", bytes, flops, "", fmt::format("{} nodes", rows.size()));
}

std::string graph_dot(const Graph& graph) {
  std::string text = "digraph step {\n  node [shape=box, fontname=\"monospace\"];\n";
  for (const Node& node : graph.nodes()) {
    text += fmt::format("  n{} [label=\"{}\\n{}\"{}];\n", node.id, escaped(std::string(node.op->name())),
                        escaped(node.name), node.inputs.empty() ? ", style=rounded" : "");
    for (const ValueRef& input : node.inputs)
      text += fmt::format("  n{} -> n{} [label=\"{}\"];\n", input.node, node.id,
                          escaped(graph.type(input).shape.to_string()));
  }
  return text + "}\n";
}

int64_t product_flops(const Graph& graph) {
  int64_t flops = 0;
  for (const Node& node : graph.nodes())
    if (is_product(*node.op) && !is_recomputed(node)) flops += cost_of(graph, node).flops - cost_of(graph, node).again;
  return flops;
}

int64_t recomputed_flops(const Graph& graph) {
  int64_t flops = 0;
  for (const Node& node : graph.nodes())
    flops += is_recomputed(node) ? cost_of(graph, node).flops : cost_of(graph, node).again;
  return flops;
}

}  // namespace synthesizer
