#include "core/graph/recompute.h"

#include <algorithm>
#include <set>
#include <vector>

#include "core/base/error.h"
#include "core/graph/passes.h"

namespace synthesizer {
namespace {

constexpr std::string_view kSuffix = "/recomputed";

// What has this name: an output's value, or a node's first.
ValueRef value_of(const Graph& graph, std::string_view name) {
  for (const auto& [output, ref] : graph.outputs())
    if (output == name) return ref;
  for (const Node& node : graph.nodes())
    if (node.name == name) return {node.id, 0};
  fail("recompute: no output or node is named {}", name);
}

// By node: whether the value named so depends on it. Of a bucket of sums (Op::contiguous) an output is one input's.
std::vector<char> ancestors(const Graph& graph, std::string_view name) {
  std::vector<char> is(graph.nodes().size(), 0);
  std::vector<ValueRef> open = {value_of(graph, name)};
  std::set<ValueRef> seen(open.begin(), open.end());
  while (!open.empty()) {
    const ValueRef ref = open.back();
    open.pop_back();
    const Node& node = graph.node(ref.node);
    is[static_cast<size_t>(ref.node)] = 1;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.op->contiguous() && static_cast<int>(i) != ref.output) continue;
      if (seen.insert(node.inputs[i]).second) open.push_back(node.inputs[i]);
    }
  }
  return is;
}

class Recomputer {
 public:
  Recomputer(const Graph& from, std::string_view loss, const RecomputeRegions& regions)
      : from_(from), forward_(ancestors(from, loss)), to_(std::make_unique<Graph>()), copy_(from, *to_) {
    for (const Node& node : from_.nodes()) {
      const bool may = forward(node.id) && node.op->pure() && !node.op->collective();
      region_.push_back(may ? regions.of(node) : "");
    }
    for (const auto& [name, ref] : from_.outputs()) kept_.insert(ref);  // they stay to the end of the step
    if (regions.keep_results) keep_results(regions);
    made_.resize(from_.nodes().size());
  }

  std::unique_ptr<Graph> run() {
    for (const Node& node : from_.nodes()) {
      if (!forward(node.id))
        for (const ValueRef& input : node.inputs) make_again(input);
      copy_.copy(node);
    }
    copy_.finish();
    return std::move(to_);
  }

 private:
  bool forward(int id) const { return forward_[static_cast<size_t>(id)] != 0; }

  // Collectives have no region of their own, yet read what is their block's alone: a value that only they read, and
  // nodes of its region, is no result.
  void keep_results(const RecomputeRegions& regions) {
    for (const Node& reader : from_.nodes()) {
      if (!forward(reader.id)) continue;
      const std::string region = reader.op->collective() ? regions.of(reader) : region_[static_cast<size_t>(reader.id)];
      for (const ValueRef& input : reader.inputs)
        if (region_[static_cast<size_t>(input.node)] != region) kept_.insert(input);
    }
  }

  // From here on all readers, which are backward's, see the copy.
  void make_again(ValueRef ref) {
    const auto id = static_cast<size_t>(ref.node);
    if (region_[id].empty() || made_[id] || kept_.contains(ref)) return;
    made_[id] = 1;
    const Node& node = from_.node(ref.node);
    std::vector<Value> inputs;
    for (const ValueRef& input : node.inputs) {
      make_again(input);
      inputs.push_back(copy_.at(input));
    }
    const std::vector<Value> outputs = to_->add_named(node.op, inputs, node.name + std::string(kSuffix));
    for (size_t i = 0; i < outputs.size(); ++i) {
      const ValueRef output{node.id, static_cast<int>(i)};
      if (!kept_.contains(output)) copy_.map(output, outputs[i]);
    }
  }

  const Graph& from_;
  const std::vector<char> forward_;  // by node
  std::vector<std::string> region_;  // by node; "": its outputs are kept
  std::set<ValueRef> kept_;          // outputs of nodes with a region that are kept all the same
  std::vector<char> made_;           // by node: whether it has its copy
  std::unique_ptr<Graph> to_;
  GraphCopy copy_;
};

}  // namespace

std::unique_ptr<Graph> recompute(const Graph& graph, std::string_view loss, const RecomputeRegions& regions) {
  return Recomputer(graph, loss, regions).run();
}

bool is_recomputed(const Node& node) { return node.name.ends_with(kSuffix); }

std::string_view original_name(const Node& node) {
  const std::string_view name = node.name;
  return is_recomputed(node) ? name.substr(0, name.size() - kSuffix.size()) : name;
}

}  // namespace synthesizer
