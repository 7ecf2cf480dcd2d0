#include "core/graph/graph.h"

#include <unordered_map>

#include "core/base/error.h"

namespace synthesizer {

const Node& Value::node() const {
  CHECK(graph_ != nullptr, "no value");
  return graph_->node(ref_.node);
}

const ValueType& Value::type() const { return node().outputs[static_cast<size_t>(ref_.output)]; }

// Node names in use, and how often each was asked for.
struct Graph::Names {
  std::unordered_map<std::string, int> ids;
  std::unordered_map<std::string, int> uses;
};

Graph::Graph() : names_(std::make_unique<Names>()) {}
Graph::~Graph() = default;

std::string Graph::unique(const std::string& name) const {
  std::string candidate = name;
  for (int& uses = names_->uses[name]; names_->ids.contains(candidate) || uses == 0;) {
    ++uses;
    candidate = uses == 1 ? name : fmt::format("{}_{}", name, uses);
    if (!names_->ids.contains(candidate)) break;
  }
  return candidate;
}

std::vector<Value> Graph::append(std::shared_ptr<const Op> op, std::span<const Value> inputs, std::string name) {
  Node node;
  node.id = static_cast<int>(nodes_.size());
  std::vector<ValueType> types;
  for (const Value& input : inputs) {
    CHECK(input && &input.graph() == this, "[{} {}] an input is missing or belongs to another graph", op->name(), name);
    node.inputs.push_back(input.ref());
    types.push_back(input.type());
  }
  try {
    node.outputs = op->infer(types);
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    fail("{} (node {})", error.what(), name);
  }
  node.op = std::move(op);
  node.name = std::move(name);
  names_->ids.emplace(node.name, node.id);
  std::vector<Value> values;
  for (size_t i = 0; i < node.outputs.size(); ++i) values.push_back(Value(this, {node.id, static_cast<int>(i)}));
  nodes_.push_back(std::move(node));
  return values;
}

std::string Graph::next_name(std::string_view label) const {
  return unique((scope_.empty() ? "" : scope_ + "/") + std::string(label));
}

std::vector<Value> Graph::add(std::shared_ptr<const Op> op, std::span<const Value> inputs, std::string_view label) {
  const std::string name = next_name(label.empty() ? op->name() : label);
  return append(std::move(op), inputs, name);
}

Value Graph::add_one(std::shared_ptr<const Op> op, std::span<const Value> inputs, std::string_view label) {
  const std::vector<Value> values = add(std::move(op), inputs, label);
  CHECK(values.size() == 1, "{} has {} outputs", values[0].node().op->name(), values.size());
  return values[0];
}

Value Graph::add_leaf(std::shared_ptr<const Op> op, const std::string& name) {
  CHECK(!names_->ids.contains(name), "two leaves are named {}", name);
  return append(std::move(op), {}, name)[0];
}

std::vector<Value> Graph::add_named(std::shared_ptr<const Op> op, std::span<const Value> inputs,
                                    const std::string& name) {
  return append(std::move(op), inputs, unique(name));
}

Value Graph::leaf(std::string_view name) {
  const auto it = names_->ids.find(std::string(name));
  if (it == names_->ids.end() || !node(it->second).inputs.empty()) return {};
  return Value(this, {it->second, 0});
}

void Graph::mark_output(const std::string& name, Value value) {
  CHECK(value && &value.graph() == this, "output {} is not a value of this graph", name);
  for (const auto& [known, ref] : outputs_) CHECK(known != name, "two outputs are named {}", name);
  outputs_.emplace_back(name, value.ref());
}

std::vector<ValueType> Graph::input_types(const Node& node) const {
  std::vector<ValueType> types;
  for (const ValueRef& ref : node.inputs) types.push_back(type(ref));
  return types;
}

ScopedName::ScopedName(Graph& graph, std::string_view part) : graph_(graph), before_(graph.scope()) {
  graph.set_scope(before_.empty() ? std::string(part) : before_ + "." + std::string(part));
}

ScopedName::~ScopedName() { graph_.set_scope(before_); }

}  // namespace synthesizer
