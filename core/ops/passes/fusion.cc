#include "core/ops/passes/fusion.h"

#include "core/graph/passes.h"

namespace synthesizer {

Uses::Uses(const Graph& graph) {
  for (const Node& node : graph.nodes())
    for (const ValueRef& input : node.inputs) {
      ++count_[input];
      readers_[input].push_back(node.id);
    }
  for (const auto& [name, ref] : graph.outputs()) ++count_[ref];
}

bool Uses::from(ValueRef ref, int id) const {
  const auto it = readers_.find(ref);
  return it == readers_.end() || it->second.front() >= id;
}

namespace {

std::map<int, Fusion> find_fusions(const Graph& graph, std::span<const Pattern> patterns) {
  const Uses uses(graph);
  std::map<int, Fusion> fusions;  // by the last node
  std::vector<char> taken(graph.nodes().size());
  for (const Node& node : graph.nodes())
    for (const Pattern pattern : patterns) {
      std::optional<Fusion> fusion = pattern(graph, node, uses);
      if (!fusion) continue;
      bool free = true;
      for (const int id : fusion->inner) free = free && !taken[static_cast<size_t>(id)] && !fusions.contains(id);
      if (!free) continue;
      for (const int id : fusion->inner) taken[static_cast<size_t>(id)] = 1;
      fusions.emplace(node.id, std::move(*fusion));
      break;
    }
  return fusions;
}

}  // namespace

std::unique_ptr<Graph> replace_groups(const Graph& graph, std::span<const Pattern> patterns) {
  const std::map<int, Fusion> fusions = find_fusions(graph, patterns);
  std::vector<char> dropped(graph.nodes().size());
  for (const auto& [last, fusion] : fusions)
    for (const int id : fusion.inner) dropped[static_cast<size_t>(id)] = 1;
  auto result = std::make_unique<Graph>();
  GraphCopy copy(graph, *result);
  for (const Node& node : graph.nodes()) {
    if (dropped[static_cast<size_t>(node.id)]) continue;
    const auto it = fusions.find(node.id);
    if (it == fusions.end()) {
      copy.copy(node);
      continue;
    }
    std::vector<Value> inputs;
    for (const ValueRef& input : it->second.inputs) inputs.push_back(copy.at(input));
    const std::vector<Value> outputs = result->add_named(it->second.op, inputs, it->second.name);
    for (size_t i = 0; i < outputs.size(); ++i) copy.map(it->second.values[i], outputs[i]);
  }
  copy.finish();
  return result;
}

}  // namespace synthesizer
