#include "dist/update_parts.h"

#include <algorithm>
#include <string_view>

#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/ops/reduce.h"

namespace synthesizer {

UpdateParts::UpdateParts(const Graph& graph, const Layout& layout, int count) {
  for (const Node& node : graph.nodes()) {
    const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
    if (leaf == nullptr || leaf->kind() != Leaf::Kind::kParameter) continue;
    const Dim* part = nullptr;
    for (const Dim& dim : node.outputs[0].shape.dims())
      if (layout.axis(dim.name).empty() && dim.size % count == 0 && (part == nullptr || dim.size > part->size))
        part = &dim;
    if (part != nullptr) dims_[node.name] = part->name;
  }
}

std::string UpdateParts::of_parameter(const std::string& parameter) const {
  const auto found = dims_.find(parameter);
  return found == dims_.end() ? "" : found->second;
}

std::string UpdateParts::of_node(const std::string& node) const {
  constexpr std::string_view kUpdate = "update.";
  if (dims_.empty() || !node.starts_with(kUpdate)) return "";
  return of_parameter(node.substr(kUpdate.size(), node.find('/', kUpdate.size()) - kUpdate.size()));
}

std::string UpdateParts::of_leaf(const std::string& leaf) const {
  for (size_t dot = leaf.rfind('.'); dot != std::string::npos && dot > 0; dot = leaf.rfind('.', dot - 1))
    if (const std::string dim = of_parameter(leaf.substr(0, dot)); !dim.empty()) return dim;
  constexpr std::string_view kGathered = "gathered.";
  if (!leaf.starts_with(kGathered)) return "";
  return of_parameter(leaf.substr(leaf.find('.', kGathered.size()) + 1));
}

std::unique_ptr<Graph> sum_in_parts(const Graph& graph, const Layout& layout, int count) {
  const UpdateParts parts(graph, layout, count);
  auto result = std::make_unique<Graph>();
  GraphCopy copy(graph, *result);
  for (const Node& node : graph.nodes()) {
    const auto* reduce = dynamic_cast<const Reduce*>(node.op.get());
    const std::string dim = reduce == nullptr ? "" : parts.of_node(node.name);
    const bool cut =
        !dim.empty() && std::find(reduce->over().begin(), reduce->over().end(), dim) != reduce->over().end();
    if (!cut) {
      copy.copy(node);
      continue;
    }
    const auto in_parts = std::make_shared<Reduce>(reduce->function(), reduce->over(), ReduceParts{dim, count});
    copy.map({node.id, 0}, result->add_named(in_parts, {{copy.at(node.inputs[0])}}, node.name)[0]);
  }
  copy.finish();
  return result;
}

}  // namespace synthesizer
