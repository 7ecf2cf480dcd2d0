#include "core/ops/passes/product_epilogues.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "core/graph/passes.h"
#include "core/graph/recompute.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"

namespace synthesizer {
namespace {

// A product that nothing but `node` reads and that can have an epilogue, or null.
const Einsum* plain_product(const Graph& graph, ValueRef ref, const Node& node, const Uses& uses) {
  const Node& inner = graph.node(ref.node);
  const auto* product = dynamic_cast<const Einsum*>(inner.op.get());
  if (product == nullptr || product->epilogue() != Epilogue::kNone || !uses.once(ref)) return nullptr;
  return is_recomputed(inner) == is_recomputed(node) ? product : nullptr;
}

// Whether only one operand has these dims of the product's output: the columns of a matrix product.
bool are_columns(const Graph& graph, const Node& product, std::span<const Dim> dims) {
  const Shape &a = graph.type(product.inputs[0]).shape, &b = graph.type(product.inputs[1]).shape;
  const auto only = [&](const Shape& in, const Shape& other) {
    return std::all_of(dims.begin(), dims.end(),
                       [&](const Dim& dim) { return in.has(dim.name) && !other.has(dim.name); });
  };
  return only(a, b) || only(b, a);
}

std::optional<Fusion> bias_of_product(const Graph& graph, const Node& node, const Uses& uses) {
  const auto* add = dynamic_cast<const Binary*>(node.op.get());
  if (add == nullptr || add->function() != BinaryFunction::kAdd) return {};
  for (const size_t side : {0, 1}) {
    const ValueRef sum = node.inputs[side], bias = node.inputs[1 - side];
    const Einsum* product = plain_product(graph, sum, node, uses);
    if (product == nullptr || product->has_bias() || graph.type(sum) != node.outputs[0]) continue;
    const std::vector<Dim>&all = node.outputs[0].shape.dims(), &last = graph.type(bias).shape.dims();
    if (last.empty() || last.size() >= all.size() || !std::equal(last.rbegin(), last.rend(), all.rbegin())) continue;
    const Node& inner = graph.node(sum.node);
    if (!are_columns(graph, inner, last)) continue;
    const auto op = std::make_shared<Einsum>(product->output(), product->wide(), Epilogue::kNone, true);
    return Fusion{op, {inner.inputs[0], inner.inputs[1], bias}, inner.name, {inner.id}, {{node.id, 0}}};
  }
  return {};
}

// Whether the node is a product whose last dim are its columns, and all others its rows.
bool has_rows(const Graph& graph, const Node& node) {
  const std::vector<Dim>& dims = node.outputs[0].shape.dims();
  if (dims.size() < 2) return false;
  const auto rows = std::span(dims).first(dims.size() - 1);
  return are_columns(graph, node, std::span(dims).last(1)) && are_columns(graph, node, rows);
}

const Einsum* product_with(const Node& node, Epilogue epilogue) {
  const auto* product = dynamic_cast<const Einsum*>(node.op.get());
  return product != nullptr && product->epilogue() == epilogue ? product : nullptr;
}

}  // namespace

std::optional<Fusion> relu_of_product(const Graph& graph, const Node& node, const Uses& uses) {
  const auto* relu = dynamic_cast<const Unary*>(node.op.get());
  if (relu == nullptr || relu->function() != UnaryFunction::kRelu) return {};
  const Einsum* product = plain_product(graph, node.inputs[0], node, uses);
  if (product == nullptr) return {};
  const Node& inner = graph.node(node.inputs[0].node);
  const auto op = std::make_shared<Einsum>(product->output(), product->wide(), Epilogue::kRelu, product->has_bias());
  return Fusion{op, inner.inputs, node.name, {inner.id}, {{node.id, 0}}};
}

std::optional<Fusion> relu_gradient_of_product(const Graph& graph, const Node& node, const Uses& uses) {
  const auto* gradient = dynamic_cast<const UnaryGradient*>(node.op.get());
  if (gradient == nullptr || gradient->function() != UnaryFunction::kRelu) return {};
  const Einsum* product = plain_product(graph, node.inputs[1], node, uses);
  if (product == nullptr || product->has_bias()) return {};
  if (graph.type(node.inputs[0]) != graph.type(node.inputs[1])) return {};
  const Node& inner = graph.node(node.inputs[1].node);
  const auto op = std::make_shared<Einsum>(product->output(), product->wide(), Epilogue::kReluGradient);
  return Fusion{op, {inner.inputs[0], inner.inputs[1], node.inputs[0]}, inner.name, {inner.id}, {{node.id, 0}}};
}

std::unique_ptr<Graph> take_biases(const Graph& graph) {
  static constexpr Pattern kPatterns[] = {bias_of_product};
  return replace_groups(graph, kPatterns);
}

std::unique_ptr<Graph> use_relu_masks(const Graph& graph) {
  std::set<int> relus, gradients;  // nodes
  for (const Node& node : graph.nodes()) {
    if (product_with(node, Epilogue::kReluGradient) == nullptr) continue;
    const Node& relu = graph.node(node.inputs.back().node);
    if (product_with(relu, Epilogue::kRelu) == nullptr || !has_rows(graph, relu) || !has_rows(graph, node)) continue;
    relus.insert(relu.id);
    gradients.insert(node.id);
  }
  auto result = std::make_unique<Graph>();
  GraphCopy copy(graph, *result);
  std::map<int, Value> masks;  // by relu
  for (const Node& node : graph.nodes()) {
    if (!relus.contains(node.id) && !gradients.contains(node.id)) {
      copy.copy(node);
      continue;
    }
    const auto& product = static_cast<const Einsum&>(*node.op);
    const bool relu = relus.contains(node.id);
    std::vector<Value> inputs;
    for (const ValueRef& input : node.inputs) inputs.push_back(copy.at(input));
    if (!relu) inputs.back() = masks.at(node.inputs.back().node);
    const auto op =
        std::make_shared<Einsum>(product.output(), product.wide(),
                                 relu ? Epilogue::kReluWithMask : Epilogue::kReluGradientByMask, product.has_bias());
    const std::vector<Value> outputs = result->add_named(op, inputs, node.name);
    copy.map({node.id, 0}, outputs[0]);
    if (relu) masks.emplace(node.id, outputs[1]);
  }
  copy.finish();
  return result;
}

}  // namespace synthesizer
