// The static graph of a step: nodes in the order they were built, which is a topological order.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/op.h"
#include "core/graph/value.h"

namespace synthesizer {

struct Node {
  int id = 0;
  std::shared_ptr<const Op> op;
  std::vector<ValueRef> inputs;
  std::vector<ValueType> outputs;
  std::string name;  // unique: "encoder.layers.0.ffn/einsum"; of a leaf its canonical name
};

class Graph {
 public:
  Graph();
  ~Graph();
  Graph(const Graph&) = delete;  // Values point to their graph
  Graph& operator=(const Graph&) = delete;

  // Appends a node and gives its outputs. The node's name is the current scope + "/" + `label` (default: the op's
  // name), made unique by "_2", "_3"…
  std::vector<Value> add(std::shared_ptr<const Op> op, std::span<const Value> inputs, std::string_view label = {});
  // The name that add() would give a node of this label; add_named() takes it.
  std::string next_name(std::string_view label) const;
  // The same as add() for an op with one output.
  Value add_one(std::shared_ptr<const Op> op, std::span<const Value> inputs, std::string_view label = {});
  // Appends a leaf whose name is taken as it is; throws if the name is taken.
  Value add_leaf(std::shared_ptr<const Op> op, const std::string& name);

  // Appends a copy of a node of another graph (passes build a new graph from an old one): name kept.
  std::vector<Value> add_named(std::shared_ptr<const Op> op, std::span<const Value> inputs, const std::string& name);

  const std::deque<Node>& nodes() const { return nodes_; }
  const Node& node(int id) const { return nodes_[static_cast<size_t>(id)]; }
  const ValueType& type(ValueRef ref) const { return node(ref.node).outputs[static_cast<size_t>(ref.output)]; }
  std::vector<ValueType> input_types(const Node& node) const;
  Value value(ValueRef ref) { return Value(this, ref); }
  // The leaf of this name, or no value.
  Value leaf(std::string_view name);

  // Results that the step gives: kept to its end, whole on every rank.
  void mark_output(const std::string& name, Value value);
  const std::vector<std::pair<std::string, ValueRef>>& outputs() const { return outputs_; }

  // Prefix of the names of nodes added from here on; see ScopedName.
  const std::string& scope() const { return scope_; }
  void set_scope(std::string scope) { scope_ = std::move(scope); }

 private:
  std::vector<Value> append(std::shared_ptr<const Op> op, std::span<const Value> inputs, std::string name);
  std::string unique(const std::string& name) const;

  std::deque<Node> nodes_;  // a reference to a node, its name or its types lives as long as the graph
  std::vector<std::pair<std::string, ValueRef>> outputs_;
  std::string scope_;
  struct Names;
  std::unique_ptr<Names> names_;
};

// Sets the scope of a graph for a block: {ScopedName s(graph, "encoder.layers.0"); …}
class ScopedName {
 public:
  ScopedName(Graph& graph, std::string_view part);
  ~ScopedName();
  ScopedName(const ScopedName&) = delete;
  ScopedName& operator=(const ScopedName&) = delete;

 private:
  Graph& graph_;
  std::string before_;
};

}  // namespace synthesizer
