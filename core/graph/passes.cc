#include "core/graph/passes.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "core/base/error.h"
#include "core/graph/leaf.h"

namespace synthesizer {
namespace {

bool updates_state(const Node& node) {
  const auto aliases = node.op->aliases();
  return std::any_of(aliases.begin(), aliases.end(), [](const Alias& a) { return a.kind == Alias::Kind::kUpdate; });
}

}  // namespace

void GraphCopy::copy(const Node& node) {
  std::vector<Value> inputs;
  for (const ValueRef& ref : node.inputs) inputs.push_back(at(ref));
  const std::vector<Value> outputs = to_.add_named(node.op, inputs, node.name);
  for (size_t i = 0; i < outputs.size(); ++i) map({node.id, static_cast<int>(i)}, outputs[i]);
}

Value GraphCopy::at(ValueRef ref) const {
  const auto it = values_.find(ref);
  CHECK(it != values_.end(), "a pass lost {}", from_.node(ref.node).name);
  return it->second;
}

void GraphCopy::finish() {
  for (const auto& [name, ref] : from_.outputs()) to_.mark_output(name, at(ref));
}

std::unique_ptr<Graph> eliminate_dead(const Graph& graph) {
  std::vector<char> live(graph.nodes().size(), 0);
  for (const auto& [name, ref] : graph.outputs()) live[static_cast<size_t>(ref.node)] = 1;
  for (size_t i = graph.nodes().size(); i-- > 0;) {
    const Node& node = graph.nodes()[i];
    if (updates_state(node) || dynamic_cast<const Leaf*>(node.op.get()) != nullptr) live[i] = 1;
    if (!live[i]) continue;
    for (const ValueRef& input : node.inputs) live[static_cast<size_t>(input.node)] = 1;
  }
  auto result = std::make_unique<Graph>();
  GraphCopy copy(graph, *result);
  for (const Node& node : graph.nodes())
    if (live[static_cast<size_t>(node.id)]) copy.copy(node);
  copy.finish();
  return result;
}

std::unique_ptr<Graph> merge_common(const Graph& graph) {
  auto result = std::make_unique<Graph>();
  GraphCopy copy(graph, *result);
  std::map<std::tuple<std::string, std::string, std::vector<ValueRef>>, int> known;  // id in the new graph
  for (const Node& node : graph.nodes()) {
    if (!node.op->pure()) {
      copy.copy(node);
      continue;
    }
    std::vector<ValueRef> inputs;
    for (const ValueRef& ref : node.inputs) inputs.push_back(copy.at(ref).ref());
    const auto [it, is_new] = known.try_emplace({std::string(node.op->name()), node.op->attributes(), inputs}, 0);
    if (is_new) {
      copy.copy(node);
      it->second = copy.at({node.id, 0}).ref().node;
      continue;
    }
    for (int i = 0; i < static_cast<int>(node.outputs.size()); ++i)
      copy.map({node.id, i}, result->value({it->second, i}));
  }
  copy.finish();
  return result;
}

}  // namespace synthesizer
