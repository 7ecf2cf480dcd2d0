#include "dist/partition.h"

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/ops/update.h"
#include "dist/reshard.h"
#include "dist/update_parts.h"

namespace synthesizer {
namespace {

using Kind = Placement::Kind;

class Partitioner {
 public:
  Partitioner(const Graph& from, const Layout& layout, const AxisIndex& axis, PlacementsByName* placements,
              const UpdateSharding& update)
      : from_(from),
        layout_(layout),
        axis_(axis),
        placements_(placements),
        update_(update),
        to_(std::make_unique<Graph>()) {
    if (update_.zero > 0) parts_ = UpdateParts(from_, layout_, update_.leaves > 0 ? update_.leaves : axis_.size);
    for (const Node& node : from_.nodes()) {
      for (const ValueRef& input : node.inputs) ++uses_[input];
      if (const auto* sum = dynamic_cast<const Accumulate*>(node.op.get()))
        for (const ValueRef& input : node.inputs) added_to_.emplace(input.node, node.inputs[sum->stores() ? 1 : 0]);
    }
    for (const auto& [name, ref] : from_.outputs()) ++uses_[ref];
  }

  std::unique_ptr<Graph> run() {
    for (const Node& node : from_.nodes()) place(node);
    for (const auto& [name, ref] : from_.outputs()) to_->mark_output(name, require(ref, Placement::whole()));
    return std::move(to_);
  }

 private:
  // What became of a value of the global graph: the placement it was made in, and every one it is available in.
  struct Placed {
    Placement made;
    std::vector<std::pair<Placement, Value>> available;
  };

  bool mapped(const Placement& placement, const Node& node) const {
    if (placement.kind != Kind::kSplit || layout_.axis(placement.dim) == axis_.axis) return true;
    return parts_.of_node(node.name) == placement.dim;
  }

  // Of an ordered update: a rank adds up its own leaves where these are neighbours in the tree. With stage 2 each
  // micro-batch's are reduced between ranks first (and the ranks' leaves, not a rank's, are neighbours).
  bool keeps_partial(const Node& node) const {
    return update_.zero < 2 && dynamic_cast<const Accumulate*>(node.op.get()) != nullptr;
  }

  // Whether the layout lets the rule be used: split dims are mapped to this axis and divide.
  bool allowed(const PartitionRule& rule, const Node& node, const std::vector<ValueType>& types) const {
    const auto divides = [&](const Placement& placement, const ValueType& type) {
      return placement.kind != Kind::kSplit ||
             (mapped(placement, node) && type.shape.size(placement.dim) % axis_.size == 0);
    };
    for (size_t i = 0; i < types.size(); ++i)
      if (!divides(rule.inputs[i], types[i])) return false;
    if (update_.leaves > 0 && node.name.starts_with("update") && !keeps_partial(node))
      for (const Placement& input : rule.inputs)
        if (input.kind == Kind::kPartialSum || input.kind == Kind::kPartialMax) return false;
    for (size_t i = 0; i < node.outputs.size(); ++i)
      if (!divides(rule.outputs[i], node.outputs[i])) return false;
    for (const Alias& alias : node.op->aliases())  // an update writes a leaf, which stays where it is
      if (alias.kind == Alias::Kind::kUpdate) {
        const auto input = static_cast<size_t>(alias.input);
        if (!(rule.inputs[input] == placed_.at(node.inputs[input]).made)) return false;
      }
    return true;
  }

  // Made by backward, or the sum of such over micro-batches.
  bool is_gradient(const Node& node) const {
    if (node.name.starts_with("gradient.")) return true;
    const auto* sum = dynamic_cast<const Accumulate*>(node.op.get());
    return sum != nullptr && is_gradient(from_.node(node.inputs[sum->stores() ? 1 : 0].node));
  }

  // The cheapest way to have a value placed so: directly from something available, or through whole.
  struct Way {
    double cost = std::numeric_limits<double>::infinity();
    size_t source = 0;
    bool through_whole = false;
  };
  Way way(ValueRef ref, const Placement& to) const {
    Way best;
    const Placed& placed = placed_.at(ref);
    const int64_t bytes = from_.type(ref).bytes();
    for (size_t i = 0; i < placed.available.size(); ++i) {
      const Placement& source = placed.available[i].first;
      if (const auto cost = reshard_cost(source, to, bytes, axis_); cost && *cost < best.cost) best = {*cost, i, false};
      const auto gather = reshard_cost(source, Placement::whole(), bytes, axis_);
      const auto rest = reshard_cost(Placement::whole(), to, bytes, axis_);
      if (gather && rest && *gather + *rest < best.cost) best = {*gather + *rest, i, true};
    }
    return best;
  }

  Value require(ValueRef ref, const Placement& to) {
    const Way best = way(ref, to);
    const auto [source, local] = placed_.at(ref).available[best.source];
    if (source == to) return local;
    if (best.through_whole && !(to == Placement::whole())) {
      make_whole(ref, source, local);
      return require(ref, to);
    }
    const Value value = to == Placement::whole() ? make_whole(ref, source, local) : resharded(ref, local, source, to);
    if (!(to == Placement::whole())) placed_.at(ref).available.emplace_back(to, value);
    return value;
  }

  Value resharded(ValueRef ref, Value local, const Placement& from, const Placement& to) {
    const bool rounds = is_gradient(from_.node(ref.node)) && local.dtype() != DType::kBFloat16;
    const Value value = reshard(local, from, to, axis_, rounds ? update_.wire : Wire::kFull);
    if (placements_ != nullptr) (*placements_)[value.node().name] = {to};
    return value;
  }

  // A partial value is reduced where it has the fewest bytes among the linear ops it came through (the latest on a
  // tie).
  Value make_whole(ValueRef ref, const Placement& source, Value local) {
    Value whole;
    const std::vector<int> chain = source.kind == Kind::kPartialSum ? cheaper_cut(ref) : std::vector<int>();
    if (chain.empty()) {
      whole = resharded(ref, local, source, Placement::whole());
    } else {
      for (const int id : chain) {
        const Node& node = from_.node(id);
        const std::vector<Placement> inputs(node.inputs.size());
        emit(node, {inputs, std::vector<Placement>(node.outputs.size())});
      }
      return require(ref, Placement::whole());
    }
    placed_.at(ref).available.emplace_back(Placement::whole(), whole);
    return whole;
  }

  // The nodes from the cut down to `ref`, if reducing before them is cheaper than reducing `ref` itself.
  std::vector<int> cheaper_cut(ValueRef ref) const {
    std::vector<int> chain, best;
    if (update_.leaves > 0) return best;  // elsewhere the sums would be others
    int64_t fewest = from_.type(ref).bytes();
    while (true) {
      const Node& node = from_.node(ref.node);
      if (node.outputs.size() != 1) break;
      int partial = -1;
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const Placement& made = rules_.at(node.id).inputs[i];
        if (made.kind == Kind::kPartialSum) partial = partial < 0 ? static_cast<int>(i) : -2;
        if (made.kind == Kind::kSplit) partial = -2;
        if (partial == -2) break;
      }
      if (partial < 0) break;
      const ValueRef input = node.inputs[static_cast<size_t>(partial)];
      if (uses_.at(input) != 1) break;
      chain.insert(chain.begin(), node.id);
      ref = input;
      if (from_.type(ref).bytes() < fewest) {
        fewest = from_.type(ref).bytes();
        best = chain;
      }
    }
    return best;
  }

  void place(const Node& node) {
    if (const auto* leaf = dynamic_cast<const Leaf*>(node.op.get())) {
      if (leaf->kind() != Leaf::Kind::kGathered) emit(node, {{}, {leaf_placement(*leaf, node)}});
      return;
    }
    if (dynamic_cast<const Accumulate*>(node.op.get()) != nullptr) place_sums(node);
    const std::vector<ValueType> types = from_.input_types(node);
    const PartitionRule* best = nullptr;
    double best_cost = std::numeric_limits<double>::infinity();
    const std::vector<PartitionRule> rules = node.op->partition(types, node.outputs);
    for (const PartitionRule& rule : rules) {
      if (!allowed(rule, node, types)) continue;
      double cost = 0;
      for (size_t i = 0; i < types.size(); ++i) cost += way(node.inputs[i], rule.inputs[i]).cost;
      if (cost < best_cost) {
        best = &rule;
        best_cost = cost;
      }
    }
    if (best == nullptr) refuse(node);
    emit(node, *best);
  }

  // The sums that a node adds to, now that it is known where what is added lies.
  void place_sums(const Node& node) {
    for (const ValueRef& input : node.inputs) {
      const Node& from = from_.node(input.node);
      const auto* leaf = dynamic_cast<const Leaf*>(from.op.get());
      if (leaf != nullptr && !placed_.contains(input)) emit(from, {{}, {leaf_placement(*leaf, from)}});
    }
  }

  Placement leaf_placement(const Leaf& leaf, const Node& node) const {
    Placement placement = Placement::whole();
    for (const Dim& dim : node.outputs[0].shape.dims()) {
      if (layout_.axis(dim.name) != axis_.axis) continue;
      if (placement.kind == Kind::kSplit)
        fail_usage("[{} {}] the layout maps both {} and {} to axis {}: a tensor can be split along one of them",
                   leaf.name(), node.name, placement.dim, dim.name, axis_.axis);
      if (dim.size % axis_.size != 0)
        fail_usage("[{} {}] layout entry {}:{} cannot split {} {} over {} ranks", leaf.name(), node.name, dim.name,
                   axis_.axis, dim.name, dim.size, axis_.size);
      placement = Placement::split(dim.name);
    }
    const bool gathered = leaf.kind() == Leaf::Kind::kGathered;
    if (placement.kind != Kind::kSplit && (leaf.kind() == Leaf::Kind::kState || (gathered && update_.zero > 1)))
      if (const std::string part = parts_.of_leaf(node.name); !part.empty() && node.outputs[0].shape.has(part))
        return Placement::split(part);
    if (!gathered || (update_.zero > 1 && update_.leaves > 0)) return placement;
    return placed_.at(added_to_.at(node.id)).made;
  }

  [[noreturn]] void refuse(const Node& node) const {
    std::string inputs;
    for (const ValueRef& ref : node.inputs)
      inputs += fmt::format("{}{} {}", inputs.empty() ? "" : ", ", from_.type(ref).shape.to_string(),
                            placed_.at(ref).made.to_string());
    fail_usage("[{} {}] cannot be run along axis {} on {}: change the layout's entry for the split dimension",
               node.op->name(), node.name, axis_.axis, inputs);
  }

  void emit(const Node& node, const PartitionRule& rule) {
    std::vector<Value> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) inputs.push_back(require(node.inputs[i], rule.inputs[i]));
    std::shared_ptr<const Op> op = node.op->localize(rule, axis_, from_.input_types(node), node.outputs);
    if (op == nullptr) op = node.op;
    const std::vector<Value> outputs = to_->add_named(op, inputs, node.name);
    if (placements_ != nullptr) (*placements_)[outputs[0].node().name] = rule.outputs;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const ValueRef ref{node.id, static_cast<int>(i)};
      const Shape expected = local_shape(node.outputs[i].shape, rule.outputs[i], axis_);
      CHECK(outputs[i].shape() == expected, "[{} {}] output {} is {} on one rank, expected {}", node.op->name(),
            node.name, i, outputs[i].shape().to_string(), expected.to_string());
      Placed& placed = placed_[ref];
      if (placed.available.empty()) placed.made = rule.outputs[i];
      placed.available.emplace_back(rule.outputs[i], outputs[i]);
    }
    rules_.emplace(node.id, rule);
  }

  const Graph& from_;
  const Layout& layout_;
  const AxisIndex& axis_;
  PlacementsByName* placements_;
  const UpdateSharding& update_;
  std::unique_ptr<Graph> to_;
  UpdateParts parts_;                 // none without ZeRO
  std::map<int, ValueRef> added_to_;  // of a sum over micro-batches: what is added to it
  std::map<ValueRef, Placed> placed_;
  std::map<ValueRef, int> uses_;
  std::map<int, PartitionRule> rules_;
};

}  // namespace

std::unique_ptr<Graph> partition(const Graph& graph, const Layout& layout, const AxisIndex& axis,
                                 PlacementsByName* placements, const UpdateSharding& update) {
  return Partitioner(graph, layout, axis, placements, update).run();
}

}  // namespace synthesizer
