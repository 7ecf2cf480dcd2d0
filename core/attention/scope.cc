#include "core/attention/scope.h"

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/dropout.h"

namespace synthesizer {
namespace {

std::string join(std::string_view above, std::string_view part) {
  if (above.empty()) return std::string(part);
  if (part.empty()) return std::string(above);
  return fmt::format("{}.{}", above, part);
}

// A leaf that is already there, which must be what is asked for; or no value.
Value known_leaf(Graph& graph, const std::string& name, DType dtype, const Shape& shape) {
  const Value leaf = graph.leaf(name);
  if (leaf)
    CHECK(leaf.dtype() == dtype && leaf.shape() == shape, "{} is asked for as {} and as {}", name,
          leaf.shape().to_string(), shape.to_string());
  return leaf;
}

}  // namespace

Scope::Scope(const BuildContext& context, const std::string& above, std::string_view part)
    : context_(context), prefix_(join(above, part)), scoped_(*context.graph, part) {}

std::string Scope::full_name(std::string_view name) const { return join(prefix_, name); }

Value Scope::parameter(std::string_view name, Shape shape, Initializer initializer) const {
  const std::string full = full_name(name);
  if (const Value known = known_leaf(graph(), full, dtype(), shape)) return known;
  return synthesizer::parameter(graph(), full, dtype(), std::move(shape), std::move(initializer));
}

Value Scope::fixed(std::string_view name, Shape shape, Initializer initializer) const {
  const std::string full = full_name(name);
  if (const Value known = known_leaf(graph(), full, dtype(), shape)) return known;
  return synthesizer::fixed(graph(), full, dtype(), std::move(shape), std::move(initializer));
}

Value Scope::dropout(Value x) const { return dropout(x, context_.dropout_broadcast ? DimNames{kLength} : DimNames{}); }

Value Scope::dropout(Value x, const DimNames& shared) const {
  if (!drops()) return x;
  return synthesizer::dropout(x, context_.dropout, shared, context_.step, context_.seed);
}

}  // namespace synthesizer
