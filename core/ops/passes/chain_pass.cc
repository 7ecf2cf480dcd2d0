#include "core/ops/passes/chain_pass.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/graph/passes.h"
#include "core/ops/passes/chain_groups.h"

namespace synthesizer {
namespace {

// One group on its way to a node: its inputs, steps and results, of which only what is needed is left.
class ChainBuilder {
 public:
  ChainBuilder(const Graph& graph, const ChainGroup& group, const ChainGroups& groups) : graph_(graph), group_(group) {
    for (const int member : group.members) {
      const ValueRef value{member, 0};
      if (is_chain_end(*graph.node(member).op) || groups.given(value)) results_.push_back(value);
    }
    std::set<int> needed;
    for (const ValueRef& result : results_) need(result.node, needed);
    nodes_.assign(needed.begin(), needed.end());
  }

  // Nodes that are left, in their order.
  const std::vector<int>& nodes() const { return nodes_; }
  const std::vector<ValueRef>& results() const { return results_; }

  std::vector<ValueRef> inputs() const {
    std::vector<ValueRef> inputs;
    for (const int id : nodes_)
      for (const ValueRef& input : graph_.node(id).inputs)
        if (!inside(input) && std::find(inputs.begin(), inputs.end(), input) == inputs.end()) inputs.push_back(input);
    return inputs;
  }

  // `counted`: the nodes whose operations chains count already; gets those of this one.
  std::shared_ptr<const Chain> op(std::set<int>& counted) const {
    const std::vector<ValueRef> from = inputs();
    std::map<ValueRef, int> values;
    for (size_t i = 0; i < from.size(); ++i) values[from[i]] = static_cast<int>(i);
    for (size_t s = 0; s < nodes_.size(); ++s) values[{nodes_[s], 0}] = static_cast<int>(from.size() + s);
    std::vector<ChainStep> steps;
    for (const int id : nodes_) {
      ChainStep& step = steps.emplace_back(ChainStep{graph_.node(id).op, {}, !counted.insert(id).second});
      for (const ValueRef& input : graph_.node(id).inputs) step.operands.push_back(values.at(input));
    }
    std::vector<int> results;
    for (const ValueRef& result : results_) results.push_back(values.at(result));
    return std::make_shared<Chain>(group_.over.shape, from.size(), std::move(steps), std::move(results));
  }

 private:
  bool inside(ValueRef value) const { return group_.members.contains(value.node) || group_.again.contains(value.node); }

  void need(int node, std::set<int>& needed) const {
    if (!needed.insert(node).second) return;
    for (const ValueRef& input : graph_.node(node).inputs)
      if (inside(input)) need(input.node, needed);
  }

  const Graph& graph_;
  const ChainGroup& group_;
  std::vector<ValueRef> results_;
  std::vector<int> nodes_;
};

}  // namespace

std::unique_ptr<Graph> make_chains(const Graph& graph, bool dropouts) {
  const ChainGroups groups(graph, dropouts);
  auto result = std::make_unique<Graph>();
  GraphCopy copy(graph, *result);
  std::set<int> counted;
  for (const Node& node : graph.nodes()) {
    const ChainGroup* group = groups.of(node.id);
    if (group == nullptr) {
      copy.copy(node);
      continue;
    }
    if (node.id != group->last()) continue;
    const ChainBuilder chain(graph, *group, groups);
    if (chain.nodes().size() == 1) {
      copy.copy(graph.node(chain.nodes()[0]));
      counted.insert(chain.nodes()[0]);
    }
    if (chain.nodes().size() < 2) continue;
    std::vector<Value> inputs;
    for (const ValueRef& input : chain.inputs()) inputs.push_back(copy.at(input));
    const std::string& name = graph.node(chain.results()[0].node).name;
    const std::vector<Value> outputs = result->add_named(chain.op(counted), inputs, name);
    for (size_t i = 0; i < outputs.size(); ++i) copy.map(chain.results()[i], outputs[i]);
  }
  copy.finish();
  return result;
}

}  // namespace synthesizer
