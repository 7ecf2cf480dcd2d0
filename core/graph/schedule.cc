#include "core/graph/schedule.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.h"

namespace synthesizer {
namespace {

// Sort key of a node: its own id, or for a collective that of the latest input, so that it starts as soon as it can.
std::vector<std::pair<int, int>> order_keys(const Graph& graph) {
  std::vector<std::pair<int, int>> keys;
  for (const Node& node : graph.nodes()) {
    std::pair<int, int> key{node.id, 0};
    if (node.op->collective()) {
      key = {-1, 0};
      for (const ValueRef& input : node.inputs) key = std::max(key, keys[static_cast<size_t>(input.node)]);
      ++key.second;
    }
    keys.push_back(key);
  }
  return keys;
}

// A tensor that an update has overwritten must not be read under its old name afterwards.
void check_updates(const Graph& graph, const std::vector<int>& order) {
  std::map<ValueRef, int> overwritten;  // by which node
  for (const int id : order) {
    const Node& node = graph.node(id);
    for (const ValueRef& input : node.inputs) {
      const auto it = overwritten.find(input);
      CHECK(it == overwritten.end(), "[{} {}] reads {} after {} has overwritten it", node.op->name(), node.name,
            graph.node(input.node).name, graph.node(it->second).name);
    }
    for (const Alias& alias : node.op->aliases())
      if (alias.kind == Alias::Kind::kUpdate) overwritten[node.inputs[static_cast<size_t>(alias.input)]] = id;
  }
}

}  // namespace

Schedule schedule(const Graph& graph) {
  Schedule result;
  const int count = static_cast<int>(graph.nodes().size());
  const auto keys = order_keys(graph);
  for (int id = 0; id < count; ++id) result.order.push_back(id);
  std::stable_sort(result.order.begin(), result.order.end(),
                   [&](int a, int b) { return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)]; });
  check_updates(graph, result.order);

  std::vector<int> first_use(static_cast<size_t>(count), count);  // of any output of a node, as a position
  for (int position = count - 1; position >= 0; --position)
    for (const ValueRef& input : graph.node(result.order[static_cast<size_t>(position)]).inputs)
      first_use[static_cast<size_t>(input.node)] = position;
  for (int position = 0; position < count; ++position) {
    const int id = result.order[static_cast<size_t>(position)];
    result.wait.push_back(graph.node(id).op->collective() ? first_use[static_cast<size_t>(id)] : position);
  }
  return result;
}

}  // namespace synthesizer
