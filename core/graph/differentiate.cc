#include "core/graph/differentiate.h"

#include <map>

#include "core/base/error.h"
#include "core/graph/leaf.h"

namespace synthesizer {
namespace {

// Marks the nodes from which some wanted value is reached going backwards: only these carry gradients.
std::vector<char> reaches_wanted(const Graph& graph, int last, std::span<const Value> wanted) {
  std::vector<char> reaches(static_cast<size_t>(last) + 1, 0);
  for (const Value& value : wanted)
    if (value.ref().node <= last) reaches[static_cast<size_t>(value.ref().node)] = 1;
  for (int id = 0; id <= last; ++id)
    for (const ValueRef& input : graph.node(id).inputs)
      if (reaches[static_cast<size_t>(input.node)]) reaches[static_cast<size_t>(id)] = 1;
  return reaches;
}

}  // namespace

std::vector<Value> differentiate(Value loss, std::span<const Value> wanted, const AddGradients& add) {
  Graph& graph = loss.graph();
  CHECK(loss.shape().rank() == 0, "the loss must be a scalar: got {}", loss.shape().to_string());
  const int last = loss.ref().node;
  const std::vector<char> reaches = reaches_wanted(graph, last, wanted);
  std::map<ValueRef, Value> gradients;
  const ScopedName scope(graph, "gradient");
  gradients[loss.ref()] = constant(graph, loss.dtype(), {}, 1.0);

  for (int id = last; id >= 0; --id) {
    if (!reaches[static_cast<size_t>(id)] || graph.node(id).inputs.empty()) continue;
    const Node node = graph.node(id);  // a copy: adding nodes moves the originals
    std::vector<Value> inputs, outputs, output_gradients;
    std::vector<char> needed;
    bool flows = false;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueRef ref{id, static_cast<int>(i)};
      outputs.push_back(graph.value(ref));
      const auto it = gradients.find(ref);
      output_gradients.push_back(it == gradients.end() ? Value() : it->second);
      flows = flows || it != gradients.end();
    }
    if (!flows) continue;
    for (const ValueRef& input : node.inputs) {
      inputs.push_back(graph.value(input));
      needed.push_back(reaches[static_cast<size_t>(input.node)] && is_floating(graph.type(input).dtype));
    }
    const ScopedName node_scope(graph, node.name);
    const std::vector<Value> results = node.op->gradient({inputs, outputs, output_gradients, needed, node.name});
    CHECK(results.size() == inputs.size(), "[{}] {} gradients for {} inputs", node.op->name(), results.size(),
          inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!needed[i] || !results[i]) continue;
      CHECK(results[i].type() == inputs[i].type(), "[{} {}] gradient of input {}: got {}, expected {}", node.op->name(),
            node.name, i, results[i].shape().to_string(), inputs[i].shape().to_string());
      Value& sum = gradients[node.inputs[i]];
      sum = sum ? add(sum, results[i]) : results[i];
    }
  }
  std::vector<Value> result;
  for (const Value& value : wanted) {
    const auto it = gradients.find(value.ref());
    result.push_back(it == gradients.end() ? Value() : it->second);
  }
  return result;
}

}  // namespace synthesizer
