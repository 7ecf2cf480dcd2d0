// What passes are written with that replace a few nodes by one.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace synthesizer {

// What a matched group becomes: one node in place of its last, which gives `values`. The nodes in `inner` are no longer
// made.
struct Fusion {
  std::shared_ptr<const Op> op;
  std::vector<ValueRef> inputs;
  std::string name;
  std::vector<int> inner;
  std::vector<ValueRef> values;
};

// Who reads a value.
class Uses {
 public:
  explicit Uses(const Graph& graph);
  // A result of the step is read at its end.
  bool once(ValueRef ref) const { return count_.at(ref) == 1; }
  // Whether no node before `id` reads it.
  bool from(ValueRef ref, int id) const;
  // Of a value that is read; ascending.
  const std::vector<int>& readers(ValueRef ref) const { return readers_.at(ref); }

 private:
  std::map<ValueRef, int> count_;
  std::map<ValueRef, std::vector<int>> readers_;
};

// A pattern looks at the last node of its group.
using Pattern = std::optional<Fusion> (*)(const Graph&, const Node&, const Uses&);

// The graph with all groups that patterns find replaced; of a node the first pattern counts, of groups that share a
// node the one that ends first.
std::unique_ptr<Graph> replace_groups(const Graph& graph, std::span<const Pattern> patterns);

}  // namespace synthesizer
