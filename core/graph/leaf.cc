#include "core/graph/leaf.h"

#include "core/base/error.h"

namespace synthesizer {
namespace {

// Every rule that splits one of the shape's dims, after the all-whole one.
std::vector<PartitionRule> any_split(const Shape& shape) {
  std::vector<PartitionRule> rules = {whole_rule(0, 1)};
  for (const Dim& dim : shape.dims()) rules.push_back({{}, {Placement::split(dim.name)}});
  return rules;
}

Value add_leaf(Graph& graph, const std::string& name, Leaf::Kind kind, DType dtype, Shape shape,
               Initializer initializer) {
  return graph.add_leaf(std::make_shared<Leaf>(kind, dtype, std::move(shape), initializer), name);
}

}  // namespace

Shape local_shape(const Shape& shape, const Placement& placement, const AxisIndex& axis) {
  if (placement.kind != Placement::Kind::kSplit) return shape;
  const int64_t size = shape.size(placement.dim);
  CHECK(size % axis.size == 0, "dimension {} of {} cannot be split over {} ranks of axis {}", placement.dim,
        shape.to_string(), axis.size, axis.axis);
  return shape.with_size(placement.dim, size / axis.size);
}

Block local_block(const Block& block, const Shape& shape, const Placement& placement, const AxisIndex& axis) {
  Block local = block;
  if (placement.kind != Placement::Kind::kSplit) {
    local.replica = local.replica * axis.size + axis.index;
    local.replicas *= axis.size;
    return local;
  }
  const size_t dim = shape.index(placement.dim);
  local.begin[dim] += shape.dims()[dim].size / axis.size * axis.index;
  return local;
}

Leaf::Leaf(Kind kind, DType dtype, Shape shape, Initializer initializer)
    : kind_(kind), type_{dtype, shape}, initializer_(initializer), block_{shape, std::vector<int64_t>(shape.rank())} {}

Leaf Leaf::derived(const std::string& name) const {
  CHECK(is_floating(type_.dtype) && kind_ != Kind::kInput && kind_ != Kind::kGathered, "{}: {} {} has no copy", name,
        to_string(type_.dtype), this->name());
  Leaf copy = *this;
  copy.kind_ = Kind::kDerived;
  copy.type_.dtype = DType::kBFloat16;
  copy.initializer_ = {};
  copy.source_ = name;
  return copy;
}

std::string_view Leaf::name() const {
  switch (kind_) {
    case Kind::kParameter:
      return "parameter";
    case Kind::kFixed:
      return "fixed";
    case Kind::kState:
      return "state";
    case Kind::kGathered:
      return "gathered";
    case Kind::kDerived:
      return "derived";
    case Kind::kInput:
      return "input";
  }
  fail("unknown kind of leaf {}", static_cast<int>(kind_));
}

std::string Leaf::attributes() const {
  if (kind_ == Kind::kDerived) return "from " + source_;
  return block_.whole == type_.shape ? "" : "of " + block_.whole.to_string();
}

std::vector<ValueType> Leaf::infer(std::span<const ValueType>) const { return {type_}; }

std::vector<PartitionRule> Leaf::partition(std::span<const ValueType>, std::span<const ValueType>) const {
  return any_split(type_.shape);
}

std::shared_ptr<const Op> Leaf::localize(const PartitionRule& rule, const AxisIndex& axis, std::span<const ValueType>,
                                         std::span<const ValueType>) const {
  auto local = std::make_shared<Leaf>(*this);
  local->type_.shape = local_shape(type_.shape, rule.outputs[0], axis);
  local->block_ = local_block(block_, type_.shape, rule.outputs[0], axis);
  return local;
}

std::string Constant::attributes() const {
  return fmt::format("{} {} {}", to_string(type_.dtype), value_, type_.shape.to_string());
}

std::vector<ValueType> Constant::infer(std::span<const ValueType>) const { return {type_}; }

std::vector<PartitionRule> Constant::partition(std::span<const ValueType>, std::span<const ValueType>) const {
  return any_split(type_.shape);
}

std::shared_ptr<const Op> Constant::localize(const PartitionRule& rule, const AxisIndex& axis,
                                             std::span<const ValueType>, std::span<const ValueType>) const {
  return std::make_shared<Constant>(type_.dtype, local_shape(type_.shape, rule.outputs[0], axis), value_);
}

bool runs_nothing(const Node& node) {
  if (dynamic_cast<const Leaf*>(node.op.get()) != nullptr) return true;
  for (const Alias& alias : node.op->aliases())
    if (alias.kind == Alias::Kind::kView) return true;
  return false;
}

Value parameter(Graph& graph, const std::string& name, DType dtype, Shape shape, Initializer initializer) {
  return add_leaf(graph, name, Leaf::Kind::kParameter, dtype, std::move(shape), initializer);
}

Value fixed(Graph& graph, const std::string& name, DType dtype, Shape shape, Initializer initializer) {
  return add_leaf(graph, name, Leaf::Kind::kFixed, dtype, std::move(shape), initializer);
}

Value state(Graph& graph, const std::string& name, DType dtype, Shape shape, Initializer initializer) {
  return add_leaf(graph, name, Leaf::Kind::kState, dtype, std::move(shape), initializer);
}

Value gathered(Graph& graph, const std::string& name, DType dtype, Shape shape) {
  return add_leaf(graph, name, Leaf::Kind::kGathered, dtype, std::move(shape), {});
}

Value input(Graph& graph, const std::string& name, DType dtype, Shape shape) {
  return add_leaf(graph, name, Leaf::Kind::kInput, dtype, std::move(shape), {});
}

Value derived(Value leaf) {
  const Node& node = leaf.node();
  const auto* of = dynamic_cast<const Leaf*>(node.op.get());
  CHECK(of != nullptr, "{} is no leaf to derive from", node.name);
  return leaf.graph().add_leaf(std::make_shared<Leaf>(of->derived(node.name)), node.name + ".bf16");
}

Value constant(Graph& graph, DType dtype, Shape shape, double value) {
  return graph.add_one(std::make_shared<Constant>(dtype, std::move(shape), value), {});
}

}  // namespace synthesizer
