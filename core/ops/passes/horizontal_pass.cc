#include "core/ops/passes/horizontal_pass.h"

#include <algorithm>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/ops/chain.h"
#include "core/ops/horizontal.h"
#include "core/ops/reduce.h"
#include "core/ops/update.h"

namespace synthesizer {
namespace {

constexpr int64_t kSmall = 64 << 10;      // bytes that may live longer
constexpr int64_t kMuchSmaller = 64;      // times: what is given, than what is read
constexpr int64_t kMostGiven = 32 << 20;  // bytes that a late node may give beyond that: the new parameters of ZeRO

// The op as a chain of one step, null if it cannot be one.
std::shared_ptr<const Chain> chain_of_one(const Graph& graph, const Node& node) {
  const bool end = is_chain_end(*node.op);
  if (!end && !is_chain_value(*node.op)) return nullptr;
  const ValueType& whole =
      end ? graph.type(node.inputs.at(dynamic_cast<const Assign*>(node.op.get()) ? 1 : 0)) : node.outputs[0];
  ChainStep step{node.op, {}};
  for (size_t i = 0; i < node.inputs.size(); ++i) step.operands.push_back(static_cast<int>(i));
  return std::make_shared<Chain>(whole.shape, node.inputs.size(), std::vector{std::move(step)},
                                 std::vector{static_cast<int>(node.inputs.size())});
}

// Whose inputs decide whether a node overwrites what it updates: by these "apply" inputs.
std::vector<size_t> applies(const Op& op) {
  if (dynamic_cast<const AdamW*>(&op) != nullptr) return {AdamW::kApply};
  if (dynamic_cast<const Assign*>(&op) != nullptr) return {Assign::kApply};
  std::vector<size_t> found;
  if (const auto* chain = dynamic_cast<const Chain*>(&op))
    for (const ChainStep& step : chain->steps())
      if (dynamic_cast<const Assign*>(step.op.get()) != nullptr)
        found.push_back(static_cast<size_t>(step.operands[Assign::kApply]));
  return found;
}

class HorizontalGroups {
 public:
  explicit HorizontalGroups(const Graph& graph)
      : graph_(graph), count_(graph.nodes().size()), ops_(count_), before_(count_), unit_of_(count_) {
    find_readers();
    find_late();
    for (const Node& node : graph.nodes()) ops_[at(node.id)] = candidate(node);
    drop_what_others_wait_for();
    make_units();
  }

  // Nodes that are put together, ascending; of one: it stays as it is.
  using Unit = std::vector<int>;
  // The units in an order in which they can run: that of their last nodes, as far as it goes.
  std::vector<Unit> ordered() const {
    std::vector<std::set<size_t>> after(units_.size());  // units that wait for it
    std::vector<int> waits(units_.size());
    for (const Node& node : graph_.nodes())
      for (const int earlier : before_[at(node.id)]) {
        const size_t from = unit_of_[at(earlier)], to = unit_of_[at(node.id)];
        CHECK(from != to, "[horizontal] {} needs {}", node.name, graph_.node(earlier).name);
        if (after[from].insert(to).second) ++waits[to];
      }
    std::priority_queue<std::pair<int, size_t>, std::vector<std::pair<int, size_t>>, std::greater<>> ready;
    const auto add = [&](size_t unit) { ready.push({units_[unit].back(), unit}); };
    for (size_t unit = 0; unit < units_.size(); ++unit)
      if (waits[unit] == 0) add(unit);
    std::vector<Unit> order;
    while (!ready.empty()) {
      const size_t unit = ready.top().second;
      ready.pop();
      order.push_back(units_[unit]);
      for (const size_t later : after[unit])
        if (--waits[later] == 0) add(later);
    }
    CHECK(order.size() == units_.size(), "[horizontal] nodes wait for each other");
    return order;
  }

  // What a node of a larger unit runs as.
  const std::shared_ptr<const Op>& op(int node) const { return ops_[at(node)]; }

 private:
  static size_t at(int node) { return static_cast<size_t>(node); }
  const Leaf* leaf(int node) const { return dynamic_cast<const Leaf*>(graph_.node(node).op.get()); }

  // Also what must have run before each node: who gives its inputs, and who reads what it overwrites.
  void find_readers() {
    for (const Node& node : graph_.nodes()) {
      std::set<int> before;
      for (const ValueRef& input : node.inputs) {
        readers_[input].push_back(node.id);
        before.insert(input.node);
      }
      for (const Alias& alias : node.op->aliases()) {
        if (alias.kind != Alias::Kind::kUpdate) continue;
        for (const int reader : readers_[node.inputs[at(alias.input)]])
          if (reader != node.id) before.insert(reader);
      }
      before_[at(node.id)].assign(before.begin(), before.end());
    }
  }

  // Late: after what decides on the updates, which waits for all gradients.
  void find_late() {
    decides_.assign(count_, 0);
    for (const Node& node : graph_.nodes())
      for (const size_t input : applies(*node.op))
        if (const int by = node.inputs[input].node; leaf(by) == nullptr) decides_[at(by)] = 1;
    late_.assign(count_, 0);
    for (const Node& node : graph_.nodes())
      for (const ValueRef& input : node.inputs)
        if (decides_[at(input.node)] != 0 || late_[at(input.node)] != 0) late_[at(node.id)] = 1;
  }

  bool read_late(ValueRef value) const {
    const auto found = readers_.find(value);
    return std::any_of(found->second.begin(), found->second.end(), [&](int by) { return late_[at(by)] != 0; });
  }

  bool may_wait(const Node& node) const {
    for (const ValueRef& input : node.inputs) {
      const Leaf* of = leaf(input.node);
      const bool kept = of != nullptr && of->persistent();
      if (!kept && graph_.type(input).bytes() > kSmall && !read_late(input)) return false;
    }
    return given(node) == 0 || (late_[at(node.id)] != 0 && given(node) <= kMostGiven);
  }

  // Bytes of what it gives, apart from what is small or lies where it was.
  int64_t given(const Node& node) const {
    int64_t largest = 0, bytes = 0;
    for (const ValueRef& input : node.inputs) largest = std::max(largest, graph_.type(input).bytes());
    std::set<int> updated;
    for (const Alias& alias : node.op->aliases())
      if (alias.kind == Alias::Kind::kUpdate) updated.insert(alias.output);
    for (size_t i = 0; i < node.outputs.size(); ++i)
      if (!updated.contains(static_cast<int>(i)) && node.outputs[i].bytes() > std::max(kSmall, largest / kMuchSmaller))
        bytes += node.outputs[i].bytes();
    return bytes;
  }

  // The op that a node would be a part as; null: it stays alone. Of the update is what comes late, what reads something
  // that is read late, and what reads of these.
  std::shared_ptr<const Op> candidate(const Node& node) const {
    const auto of_update = [&](ValueRef input) { return ops_[at(input.node)] != nullptr || read_late(input); };
    if (late_[at(node.id)] == 0 && std::none_of(node.inputs.begin(), node.inputs.end(), of_update)) return nullptr;
    if (dynamic_cast<const AdamW*>(node.op.get()) != nullptr) return may_wait(node) ? node.op : nullptr;
    std::shared_ptr<const Chain> chain = std::dynamic_pointer_cast<const Chain>(node.op);
    if (chain == nullptr) {
      for (const ValueRef& input : node.inputs)
        if (graph_.type(input).dtype == DType::kBFloat16) return nullptr;
      chain = chain_of_one(graph_, node);
    }
    if (chain == nullptr || !is_compute(chain->dtype(graph_.input_types(node))) || !may_wait(node)) return nullptr;
    return chain;
  }
  static bool is_compute(DType dtype) { return dtype == DType::kFloat32 || dtype == DType::kFloat64; }

  // What waits for others of its kind must hold up nothing but the update: gradients that come later would make what
  // backward reads live longer.
  void drop_what_others_wait_for() {
    for (size_t i = count_; i-- > 0;) {
      if (ops_[i] == nullptr || late_[i] != 0) continue;
      const Node& node = graph_.nodes()[i];
      for (size_t output = 0; output < node.outputs.size(); ++output) {
        const auto found = readers_.find({node.id, static_cast<int>(output)});
        if (found == readers_.end()) continue;
        for (const int reader : found->second)
          if (late_[at(reader)] == 0 && ops_[at(reader)] == nullptr && !decides_[at(reader)]) ops_[i] = nullptr;
      }
    }
  }

  // Nodes with the same text can be one.
  std::string kind(const Node& node) const {
    const Op& op = *ops_[at(node.id)];
    if (const auto* chain = dynamic_cast<const Chain*>(&op))
      return fmt::format("chain {} {}", to_string(chain->dtype(graph_.input_types(node))),
                         static_cast<int>(chain->order()));
    return fmt::format("{} {} {}", op.name(), op.attributes(), to_string(node.outputs[0].dtype));
  }

  // By depth: how many candidates there are on the longest way to a node. Those of one depth do not need each other,
  // and whatever lies between two candidates lies between their depths, so that no two units wait for each other. A
  // unit that gives as much as it may is full, and the next node begins another.
  void make_units() {
    std::vector<int> depth(count_);
    std::map<std::pair<int, std::string>, size_t> known;
    std::vector<int64_t> gives;  // by unit
    for (const Node& node : graph_.nodes()) {
      int& own = depth[at(node.id)];
      for (const int earlier : before_[at(node.id)]) own = std::max(own, depth[at(earlier)]);
      size_t unit = units_.size();
      if (ops_[at(node.id)] != nullptr) {
        size_t& open = known.emplace(std::pair{++own, kind(node)}, unit).first->second;
        if (open < units_.size() && gives[open] + given(node) > kMostGiven) open = units_.size();
        unit = open;
      }
      if (unit == units_.size()) {
        units_.emplace_back();
        gives.push_back(0);
      }
      gives[unit] += ops_[at(node.id)] != nullptr ? given(node) : 0;
      units_[unit].push_back(node.id);
      unit_of_[at(node.id)] = unit;
    }
  }

  const Graph& graph_;
  size_t count_;
  std::map<ValueRef, std::vector<int>> readers_;
  std::vector<char> decides_, late_;
  std::vector<std::shared_ptr<const Op>> ops_;
  std::vector<std::vector<int>> before_;
  std::vector<Unit> units_;
  std::vector<size_t> unit_of_;
};

}  // namespace

std::unique_ptr<Graph> fuse_horizontally(const Graph& graph) {
  const HorizontalGroups groups(graph);
  auto result = std::make_unique<Graph>();
  GraphCopy copy(graph, *result);
  int made = 0;
  for (const HorizontalGroups::Unit& unit : groups.ordered()) {
    if (unit.size() == 1) {
      copy.copy(graph.node(unit[0]));
      continue;
    }
    std::vector<HorizontalFusion::Part> parts;
    std::vector<Value> inputs;
    for (const int id : unit) {
      const Node& node = graph.node(id);
      parts.push_back({groups.op(id), node.inputs.size(), node.outputs.size()});
      for (const ValueRef& input : node.inputs) inputs.push_back(copy.at(input));
    }
    const std::vector<Value> outputs = result->add_named(std::make_shared<HorizontalFusion>(std::move(parts)), inputs,
                                                         fmt::format("update/horizontal_{}", ++made));
    size_t given = 0;
    for (const int id : unit)
      for (size_t i = 0; i < graph.node(id).outputs.size(); ++i) copy.map({id, static_cast<int>(i)}, outputs[given++]);
  }
  copy.finish();
  return result;
}

}  // namespace synthesizer
