#include "core/ops/passes/keep_casts.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/ops/cast.h"
#include "core/ops/update.h"

namespace synthesizer {
namespace {

class CastKeeper {
 public:
  explicit CastKeeper(const Graph& from) : from_(from), to_(std::make_unique<Graph>()), copy_(from, *to_) {
    for (const auto& [name, ref] : from_.outputs()) results_.insert(ref);
    for (const Node& node : from_.nodes())
      if (casts_parameter(node)) sources_.insert(node.inputs[0]);
  }

  std::unique_ptr<Graph> run() {
    for (const Node& node : from_.nodes()) {
      if (casts_parameter(node)) {
        copy_.map({node.id, 0}, copies_.at(node.inputs[0]));
        continue;
      }
      if (!write(node)) copy_.copy(node);
      // Right after the leaf itself: of two that are not finite it is the first.
      if (const ValueRef made{node.id, 0}; sources_.contains(made)) copies_.emplace(made, derived(copy_.at(made)));
    }
    copy_.finish();
    return std::move(to_);
  }

 private:
  bool casts_parameter(const Node& node) const {
    const auto* cast = dynamic_cast<const Cast*>(node.op.get());
    if (cast == nullptr || cast->to() != DType::kBFloat16 || results_.contains({node.id, 0})) return false;
    const auto* leaf = dynamic_cast<const Leaf*>(from_.node(node.inputs[0].node).op.get());
    return leaf != nullptr && leaf->kind() == Leaf::Kind::kParameter;
  }

  // Appends the node if it updates a parameter that has a copy, so that it writes the copy too.
  bool write(const Node& node) {
    for (const Alias& alias : node.op->aliases()) {
      if (alias.kind != Alias::Kind::kUpdate) continue;
      const auto kept = copies_.find(node.inputs[static_cast<size_t>(alias.input)]);
      if (kept == copies_.end()) continue;
      if (const auto* adamw = dynamic_cast<const AdamW*>(node.op.get())) {
        write_adamw(node, *adamw, kept->second);
      } else {
        CHECK(dynamic_cast<const Assign*>(node.op.get()) != nullptr, "[{} {}] updates {}, of which it keeps no copy",
              node.op->name(), node.name, from_.node(kept->first.node).name);
        copy_.copy(node);
        assign_copy(node, kept->second);
      }
      return true;
    }
    return false;
  }

  std::vector<Value> inputs_of(const Node& node) const {
    std::vector<Value> inputs;
    for (const ValueRef& input : node.inputs) inputs.push_back(copy_.at(input));
    return inputs;
  }

  void write_adamw(const Node& node, const AdamW& adamw, Value kept) {
    std::vector<Value> inputs = inputs_of(node);
    inputs.push_back(kept);
    const auto op = std::make_shared<AdamW>(adamw.options(), adamw.in_place(), true);
    const std::vector<Value> outputs = to_->add_named(op, inputs, node.name);
    for (size_t i = 0; i < node.outputs.size(); ++i) copy_.map({node.id, static_cast<int>(i)}, outputs[i]);
  }

  void assign_copy(const Node& node, Value kept) {
    std::vector<Value> inputs = inputs_of(node);
    inputs[0] = kept;
    to_->add_named(node.op, inputs, node.name + ".bf16");
  }

  const Graph& from_;
  std::set<ValueRef> results_;  // of the step
  std::set<ValueRef> sources_;  // parameters that are cast
  std::unique_ptr<Graph> to_;
  GraphCopy copy_;
  std::map<ValueRef, Value> copies_;  // by parameter
};

}  // namespace

std::unique_ptr<Graph> keep_casts(const Graph& graph) { return CastKeeper(graph).run(); }

}  // namespace synthesizer
