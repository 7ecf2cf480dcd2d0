// Passes that make a graph cheaper and change no result beyond rounding, and what a pass is written with.
#pragma once

#include <map>
#include <memory>

#include "core/graph/graph.h"

namespace synthesizer {

// Builds a new graph from an old one, node by node, remembering what became of each value.
class GraphCopy {
 public:
  GraphCopy(const Graph& from, Graph& to) : from_(from), to_(to) {}
  // Appends the node as it is, its inputs being what they have become.
  void copy(const Node& node);
  void map(ValueRef old, Value now) { values_[old] = now; }
  Value at(ValueRef old) const;
  // Marks the outputs of the old graph on the new one.
  void finish();

 private:
  const Graph& from_;
  Graph& to_;
  std::map<ValueRef, Value> values_;
};

// Drops nodes that no output and no update needs (leaves stay: the state is not a pass's to change).
std::unique_ptr<Graph> eliminate_dead(const Graph& graph);
// Merges nodes with equal op, attributes and inputs.
std::unique_ptr<Graph> merge_common(const Graph& graph);

}  // namespace synthesizer
