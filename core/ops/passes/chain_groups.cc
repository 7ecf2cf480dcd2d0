#include "core/ops/passes/chain_groups.h"

#include <algorithm>

#include "core/graph/leaf.h"
#include "core/graph/recompute.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/update.h"

namespace synthesizer {
namespace {

constexpr size_t kMostInputs = 32, kMostNodes = 64;  // of a group
constexpr size_t kMostWaiting = 3;  // tensors that a group keeps while others compute what it still waits for
constexpr size_t kMostReaders = 4;  // groups that are looked at because they read the same
constexpr size_t kMostAgain = 6;    // nodes that are computed again for one value

// A few cycles for an element in the cache: less than to write it and read it again.
bool is_cheap(const Op& op) {
  if (const auto* unary = dynamic_cast<const Unary*>(&op))
    return unary->function() == UnaryFunction::kAffine || unary->function() == UnaryFunction::kSquare ||
           unary->function() == UnaryFunction::kRelu;
  if (const auto* binary = dynamic_cast<const Binary*>(&op)) return binary->function() != BinaryFunction::kDivide;
  return dynamic_cast<const Broadcast*>(&op) != nullptr;
}

// The type of the index space that a node goes over.
ValueType space_of(const Graph& graph, const Node& node) {
  if (dynamic_cast<const Reduce*>(node.op.get()) != nullptr) return graph.type(node.inputs[0]);
  if (dynamic_cast<const Assign*>(node.op.get()) != nullptr) return graph.type(node.inputs[1]);
  return node.outputs[0];
}

}  // namespace

// Whether the node can be part of a chain: all its elements are of one type, and what ends a chain is not in bf16, but
// for what an update writes.
bool ChainGroups::chains(const Node& node) const {
  const bool end = is_chain_end(*node.op);
  if (!end && !is_chain_value(*node.op)) return false;
  if (!dropouts_ && dynamic_cast<const Dropout*>(node.op.get()) != nullptr) return false;
  const ChainStep step{node.op, {}};
  const DType dtype =
      dynamic_cast<const Assign*>(node.op.get()) ? graph_.type(node.inputs[1]).dtype : node.outputs[0].dtype;
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if (step.reads_elements(i) && graph_.type(node.inputs[i]).dtype != dtype) return false;
  return !end || dtype != DType::kBFloat16;
}

ChainGroups::ChainGroups(const Graph& graph, bool dropouts)
    : graph_(graph), dropouts_(dropouts), group_of_(graph.nodes().size(), -1) {
  int others = 0;
  for (const Node& node : graph.nodes()) {
    others_.push_back(others);
    others += !chains(node) && !node.inputs.empty() && !runs_nothing(node);
    for (const ValueRef& input : node.inputs)
      if (auto& of = readers_[input]; of.empty() || of.back() != node.id) of.push_back(node.id);
    for (const Alias& alias : node.op->aliases())
      if (alias.kind == Alias::Kind::kUpdate)
        updates_[node.inputs[static_cast<size_t>(alias.input)]].push_back(node.id);
  }
  for (const auto& [name, ref] : graph.outputs()) results_.insert(ref);
  for (const Node& node : graph.nodes())
    if (chains(node)) add(node);
  for (size_t g = 0; g < groups_.size(); ++g) {
    const std::set<int> members = groups_[g].members;
    for (const int node : members) compute_again({node, 0});
  }
}

const ChainGroup* ChainGroups::of(int node) const {
  const int g = group_of_[static_cast<size_t>(node)];
  if (g < 0) return nullptr;
  const ChainGroup& group = groups_[static_cast<size_t>(g)];
  return group.members.size() + group.again.size() > 1 ? &group : nullptr;
}

bool ChainGroups::given(ValueRef value) const {
  if (results_.contains(value)) return true;
  const auto it = readers_.find(value);
  if (it == readers_.end() || dropped_.contains(value)) return false;
  return std::any_of(it->second.begin(), it->second.end(),
                     [&](int reader) { return group_of_[static_cast<size_t>(reader)] != group_of(value); });
}

ChainGroup ChainGroups::alone(const Node& node) const {
  ChainGroup group;
  group.over = space_of(graph_, node);
  group.members = {node.id};
  group.inputs = {node.inputs.begin(), node.inputs.end()};
  if (const auto* reduce = dynamic_cast<const Reduce*>(node.op.get())) group.reduced = {reduce->over()};
  group.recomputed = is_recomputed(node);
  return group;
}

// The groups that it could be part of: those whose values it reads, then those that read the same, the latest first.
std::vector<int> ChainGroups::candidates(const Node& node, const ChainGroup& own) const {
  std::set<int> makers, readers;
  for (const ValueRef& input : node.inputs) {
    if (!full(input, own)) continue;
    if (gives_value(input) && group_of(input) >= 0) makers.insert(group_of(input));
    for (const int reader : readers_.at(input))
      if (const int g = group_of_[static_cast<size_t>(reader)]; reader < node.id && g >= 0) readers.insert(g);
  }
  std::vector<int> all(makers.rbegin(), makers.rend());
  size_t left = kMostReaders;
  for (auto it = readers.rbegin(); it != readers.rend() && left > 0; ++it, --left)
    if (!makers.contains(*it)) all.push_back(*it);
  return all;
}

bool ChainGroups::overwritten(ValueRef value, int from, int to) const {
  const auto it = updates_.find(value);
  return it != updates_.end() &&
         std::any_of(it->second.begin(), it->second.end(), [&](int node) { return from < node && node < to; });
}

ChainGroup ChainGroups::joined(const ChainGroup& a, const ChainGroup& b) const {
  ChainGroup both = a;
  both.members.insert(b.members.begin(), b.members.end());
  both.reduced.insert(both.reduced.end(), b.reduced.begin(), b.reduced.end());
  both.inputs.clear();
  for (const int member : both.members)
    for (const ValueRef& input : graph_.node(member).inputs)
      if (!both.members.contains(input.node)) both.inputs.insert(input);
  return both;
}

// Whether at the node `at` the group has waited for others while it kept more than a few tensors.
bool ChainGroups::waits(const ChainGroup& group, int at) const {
  if (others_[static_cast<size_t>(at)] == others_[static_cast<size_t>(*group.members.begin())]) return false;
  size_t kept = 0;
  for (const ValueRef& input : group.inputs) kept += full(input, group);
  return kept > kMostWaiting;
}

// Whether a member sums the value up: that comes after all other steps, an update of it among them.
bool ChainGroups::reduced(ValueRef value, const ChainGroup& group) const {
  return std::any_of(group.members.begin(), group.members.end(), [&](int member) {
    const Node& node = graph_.node(member);
    return dynamic_cast<const Reduce*>(node.op.get()) != nullptr && node.inputs[0] == value;
  });
}

// Whether all of both may run where `at` is, their last node.
bool ChainGroups::fits(const ChainGroup& a, const ChainGroup& b, int at) const {
  if (a.over != b.over || a.recomputed != b.recomputed) return false;
  const ChainGroup both = joined(a, b);
  if (both.inputs.size() > kMostInputs || both.members.size() > kMostNodes) return false;
  if (!chain_order(both.over.shape, both.reduced) || waits(both, at)) return false;
  for (const int member : both.members) {
    const Node& node = graph_.node(member);
    for (const ValueRef& input : node.inputs)  // an end gives nothing to the chain itself
      if (both.members.contains(input.node) && !gives_value(input)) return false;
    if (dynamic_cast<const Assign*>(node.op.get()) != nullptr &&
        (both.members.contains(node.inputs[0].node) || both.members.contains(node.inputs[2].node) ||
         reduced(node.inputs[0], both)))
      return false;
    const auto it = readers_.find({member, 0});
    if (it == readers_.end()) continue;
    for (const int reader : it->second)
      if (reader < at && !both.members.contains(reader)) return false;
  }
  // An update by a member comes when the step comes, after those that read.
  for (const ValueRef& input : both.inputs) {
    const auto it = updates_.find(input);
    if (it == updates_.end()) continue;
    for (const int node : it->second)
      if (!both.members.contains(node) && *both.members.begin() < node && node < at) return false;
  }
  return true;
}

void ChainGroups::add(const Node& node) {
  ChainGroup own = alone(node);
  int at = -1;
  for (const int g : candidates(node, own)) {
    ChainGroup& other = groups_[static_cast<size_t>(g)];
    if (!fits(other, own, node.id)) continue;
    own = joined(other, own);
    other = {};
    at = g;
  }
  if (at < 0) {
    at = static_cast<int>(groups_.size());
    groups_.emplace_back();
  }
  groups_[static_cast<size_t>(at)] = own;
  for (const int member : own.members) group_of_[static_cast<size_t>(member)] = at;
}

// The nodes of the value's group that make it, and what they read; false: too many, or dear.
bool ChainGroups::closure(ValueRef value, const ChainGroup& of, std::set<int>& nodes,
                          std::set<ValueRef>& inputs) const {
  nodes.insert(value.node);
  const Node& node = graph_.node(value.node);
  if (!is_cheap(*node.op) || nodes.size() > kMostAgain) return false;
  for (const ValueRef& input : node.inputs) {
    if (!of.members.contains(input.node))
      inputs.insert(input);
    else if (!closure(input, of, nodes, inputs))
      return false;
  }
  return true;
}

// Where all that read the value can compute it with no more read than the value itself, it need not be written.
void ChainGroups::compute_again(ValueRef value) {
  if (!gives_value(value) || !given(value) || results_.contains(value) || pinned_.contains(value)) return;
  const ChainGroup& maker = groups_[static_cast<size_t>(group_of(value))];
  if (maker.members.size() < 2) return;
  std::set<int> nodes, takers;
  std::set<ValueRef> inputs;
  if (!closure(value, maker, nodes, inputs)) return;
  for (const int reader : readers_.at(value)) {
    const int g = group_of_[static_cast<size_t>(reader)];
    if (g == group_of(value)) continue;
    if (g < 0 || !(groups_[static_cast<size_t>(g)].over == maker.over)) return;
    takers.insert(g);
  }
  for (const int g : takers) {
    const ChainGroup& taker = groups_[static_cast<size_t>(g)];
    int more = 0;
    for (const ValueRef& input : inputs) {
      if (dropped_.contains(input) || overwritten(input, -1, taker.last())) return;
      more += full(input, taker) && !taker.inputs.contains(input);
    }
    const size_t all = taker.members.size() + taker.again.size() + nodes.size();
    if (more > 1 || all > kMostNodes || taker.inputs.size() + inputs.size() > kMostInputs) return;
    if (taker.recomputed != maker.recomputed) return;
  }
  for (const int g : takers) {
    ChainGroup& taker = groups_[static_cast<size_t>(g)];
    taker.again.insert(nodes.begin(), nodes.end());
    taker.inputs.erase(value);
    for (const ValueRef& input : inputs)
      if (!taker.members.contains(input.node)) taker.inputs.insert(input);
  }
  pinned_.insert(inputs.begin(), inputs.end());
  dropped_.insert(value);
}

}  // namespace synthesizer
