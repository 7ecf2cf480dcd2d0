#include "core/ops/passes/fuse.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/graph/recompute.h"
#include "core/ops/cast.h"
#include "core/ops/dropout.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/passes/fusion.h"
#include "core/ops/passes/product_epilogues.h"
#include "core/ops/reduce.h"
#include "core/ops/rms_norm.h"

namespace synthesizer {
namespace {

std::optional<Fusion> add_to_embedding_gradient(const Graph& graph, const Node& node, const Uses& uses) {
  const auto* add = dynamic_cast<const Binary*>(node.op.get());
  if (add == nullptr || add->function() != BinaryFunction::kAdd) return {};
  for (const size_t side : {1, 0}) {
    const ValueRef rows = node.inputs[side], base = node.inputs[1 - side];
    const Node& inner = graph.node(rows.node);
    const auto* gradient = dynamic_cast<const EmbeddingGradient*>(inner.op.get());
    if (gradient == nullptr || gradient->has_base() || !uses.once(rows)) continue;
    if (graph.type(base) != graph.type(rows)) continue;
    const auto op = std::make_shared<EmbeddingGradient>(gradient->vocab(), gradient->first_row(), true);
    return Fusion{op, {inner.inputs[0], inner.inputs[1], base}, inner.name, {inner.id}, {{node.id, 0}}};
  }
  return {};
}

std::optional<Fusion> widen(const Graph& graph, const Node& node, const Uses& uses) {
  const auto* cast = dynamic_cast<const Cast*>(node.op.get());
  if (cast == nullptr || !uses.once(node.inputs[0]) || graph.type(node.inputs[0]).dtype != DType::kBFloat16) return {};
  if (cast->to() != compute_type(DType::kBFloat16)) return {};
  const Node& inner = graph.node(node.inputs[0].node);
  std::shared_ptr<const Op> wide;
  if (const auto* product = dynamic_cast<const Einsum*>(inner.op.get()))
    wide = std::make_shared<Einsum>(product->output(), true);
  else if (const auto* reduce = dynamic_cast<const Reduce*>(inner.op.get()))
    wide = std::make_shared<Reduce>(reduce->function(), reduce->over(), reduce->parts(), true);
  if (!wide) return {};
  return Fusion{wide, inner.inputs, inner.name, {inner.id}, {{node.id, 0}}};
}

std::optional<Fusion> relu_gradient_of_dropped(const Graph& graph, const Node& node, const Uses& uses) {
  const auto* gradient = dynamic_cast<const UnaryGradient*>(node.op.get());
  if (gradient == nullptr || gradient->function() != UnaryFunction::kRelu) return {};
  const ValueRef saved = node.inputs[0], dy = node.inputs[1];
  const Node& backward = graph.node(dy.node);
  if (dynamic_cast<const Dropout*>(backward.op.get()) == nullptr) return {};
  for (const int reader : uses.readers(saved)) {
    const Node& forward = graph.node(reader);
    if (dynamic_cast<const Dropout*>(forward.op.get()) == nullptr || forward.inputs[0] != saved) continue;
    if (forward.op->attributes() != backward.op->attributes()) continue;
    if (!std::equal(forward.inputs.begin() + 1, forward.inputs.end(), backward.inputs.begin() + 1)) continue;
    return Fusion{node.op, {{reader, 0}, dy}, node.name, {}, {{node.id, 0}}};
  }
  return {};
}

const Binary* as_sum(const Graph& graph, const Node& node) {
  const auto* add = dynamic_cast<const Binary*>(node.op.get());
  if (add == nullptr || add->function() != BinaryFunction::kAdd) return nullptr;
  return graph.type(node.inputs[0]) == graph.type(node.inputs[1]) ? add : nullptr;
}

std::optional<Fusion> norm_of_sum(const Graph& graph, const Node& node, const Uses& uses) {
  const auto* norm = dynamic_cast<const RmsNorm*>(node.op.get());
  if (norm == nullptr || norm->residual()) return {};
  const ValueRef sum = node.inputs[0];
  const Node& add = graph.node(sum.node);
  if (as_sum(graph, add) == nullptr || !uses.from(sum, node.id) || is_recomputed(add) != is_recomputed(node)) return {};
  const auto op = std::make_shared<RmsNorm>(norm->dim(), norm->epsilon(), true);
  // The sum is the one that is kept, and the first to be wrong if something is.
  return Fusion{
      op, {add.inputs[0], node.inputs[1], add.inputs[1]}, add.name, {add.id}, {{node.id, 0}, {node.id, 1}, sum}};
}

std::optional<Fusion> add_to_norm_gradient(const Graph& graph, const Node& node, const Uses& uses) {
  if (as_sum(graph, node) == nullptr) return {};
  for (const size_t side : {1, 0}) {
    const ValueRef dx = node.inputs[side];
    const Node& inner = graph.node(dx.node);
    const auto* gradient = dynamic_cast<const RmsNormGradient*>(inner.op.get());
    if (gradient == nullptr || gradient->has_base() || dx.output != 0 || !uses.once(dx)) continue;
    const ValueRef dscale{inner.id, 1};
    if (!uses.from(dscale, node.id)) continue;
    std::vector<ValueRef> inputs = inner.inputs;
    inputs.push_back(node.inputs[1 - side]);
    const auto op = std::make_shared<RmsNormGradient>(gradient->dim(), true);
    return Fusion{op, inputs, inner.name, {inner.id}, {{node.id, 0}, dscale}};
  }
  return {};
}

}  // namespace

std::unique_ptr<Graph> fuse(const Graph& graph) {
  static constexpr Pattern kPatterns[] = {add_to_embedding_gradient, widen, relu_gradient_of_dropped};
  return replace_groups(graph, kPatterns);
}

std::unique_ptr<Graph> fuse_exactly(const Graph& graph) {
  static constexpr Pattern kPatterns[] = {norm_of_sum, add_to_norm_gradient, relu_of_product, relu_gradient_of_product};
  return replace_groups(graph, kPatterns);
}

}  // namespace synthesizer
