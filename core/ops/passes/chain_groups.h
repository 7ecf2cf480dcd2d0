// Which nodes of a graph become one chain: the first half of core/ops/passes/chain_pass.h.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "core/graph/graph.h"
#include "core/ops/chain.h"

namespace synthesizer {

// Nodes of one index space, by id.
struct ChainGroup {
  ValueType over;
  std::set<int> members;
  std::set<int> again;        // nodes of other groups that are computed here a second time
  std::set<ValueRef> inputs;  // what they read of others
  std::vector<DimNames> reduced;
  bool recomputed = false;
  int last() const { return *members.rbegin(); }
};

class ChainGroups {
 public:
  // `dropouts`: whether they may be in one.
  ChainGroups(const Graph& graph, bool dropouts);

  // Of the node, null if it is in none of two nodes and more.
  const ChainGroup* of(int node) const;
  // Whether others read it, or it is a result of the step.
  bool given(ValueRef value) const;

 private:
  bool chains(const Node& node) const;
  int group_of(ValueRef value) const { return group_of_[static_cast<size_t>(value.node)]; }
  bool full(ValueRef value, const ChainGroup& group) const { return graph_.type(value) == group.over; }
  bool gives_value(ValueRef value) const { return is_chain_value(*graph_.node(value.node).op); }
  ChainGroup alone(const Node& node) const;
  std::vector<int> candidates(const Node& node, const ChainGroup& own) const;
  bool reduced(ValueRef value, const ChainGroup& group) const;
  bool fits(const ChainGroup& a, const ChainGroup& b, int at) const;
  bool overwritten(ValueRef value, int from, int to) const;
  bool waits(const ChainGroup& group, int at) const;
  ChainGroup joined(const ChainGroup& a, const ChainGroup& b) const;
  void add(const Node& node);
  void compute_again(ValueRef value);
  bool closure(ValueRef value, const ChainGroup& of, std::set<int>& nodes, std::set<ValueRef>& inputs) const;

  const Graph& graph_;
  bool dropouts_;
  std::vector<int> others_;  // by node: those before it that can be in no chain and compute something
  std::map<ValueRef, std::vector<int>> readers_;  // ascending
  std::set<ValueRef> results_;                    // of the step
  std::map<ValueRef, std::vector<int>> updates_;  // of what lives between steps: the nodes that overwrite it
  std::vector<ChainGroup> groups_;                // without members: joined to another
  std::vector<int> group_of_;                     // by node, -1: none
  std::set<ValueRef> dropped_, pinned_;           // computed again by all that read it; read by who computes again
};

}  // namespace synthesizer
