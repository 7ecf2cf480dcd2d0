// The optimizer's update in parts: by which dim each parameter's is cut, so that a data rank has a part of it (ZeRO,
// Rajbhandari et al. 2020), and so that its sums are made in an order that does not depend on who has which part.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/graph/graph.h"
#include "core/graph/layout.h"

namespace synthesizer {

class UpdateParts {
 public:
  UpdateParts() = default;
  // Of each parameter the largest of its dims that the layout maps to no axis and that `count` divides; a parameter
  // without one is not cut.
  UpdateParts(const Graph& graph, const Layout& layout, int count);

  bool empty() const { return dims_.empty(); }
  // The dim by which the node's parameter is cut; "": it is not, or the node is of no one parameter's update. Nodes are
  // named "update.PARAMETER/…" (core/optim/optimizer.h).
  std::string of_node(const std::string& node) const;
  // The same by a leaf's name, of state "PARAMETER.adam.first" or a sum over passes "gathered.0.PARAMETER".
  std::string of_leaf(const std::string& leaf) const;

 private:
  std::string of_parameter(const std::string& parameter) const;
  std::map<std::string, std::string> dims_;  // by parameter
};

// The graph with the update's sums over those dims made in `count` fixed parts (core/ops/reduce.h). A power of two.
std::unique_ptr<Graph> sum_in_parts(const Graph& graph, const Layout& layout, int count);

}  // namespace synthesizer
