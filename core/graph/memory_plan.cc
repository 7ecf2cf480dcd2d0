// Two parts: lifetimes decides which values share a block (views, in-place ops, buckets) and when each block is in use;
// place_blocks gives blocks their offsets, the largest first, each at the lowest offset free for its lifetime
// (greedy by size, as Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).
#include "core/graph/memory_plan.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

class Lifetimes {
 public:
  Lifetimes(const Graph& graph, const Schedule& schedule) : graph_(graph), schedule_(schedule) {
    find_uses();
    for (size_t p = 0; p < schedule_.order.size(); ++p) define(static_cast<int>(p));
  }

  // A set of values in one memory.
  struct Root {
    std::vector<ValueRef> values;
    int64_t bytes = 0;
    int first = 0, last = 0;
    std::string persistent;  // the leaf's name, if it lies in the store
    int bucket = -1;
    bool input = false;
  };
  std::vector<Root>& roots() { return roots_; }
  // Roots that lie side by side, in this order.
  const std::vector<std::vector<int>>& buckets() const { return buckets_; }

 private:
  // A reader of a value: the position it runs at, and the one until which it reads.
  struct Use {
    int position, end;
  };

  void find_uses() {
    const int count = static_cast<int>(schedule_.order.size());
    for (int p = 0; p < count; ++p)
      for (const ValueRef& input : graph_.node(schedule_.order[static_cast<size_t>(p)]).inputs)
        uses_[input].push_back({p, schedule_.wait[static_cast<size_t>(p)]});
    for (const auto& [name, ref] : graph_.outputs()) uses_[ref].push_back({count, count});
    // From the end on, so that what is seen through a view is known too.
    for (int p = count; p-- > 0;) {
      const Node& node = graph_.node(schedule_.order[static_cast<size_t>(p)]);
      if (node.op->contiguous()) to_bucket_.insert(node.inputs.begin(), node.inputs.end());
      for (const Alias& alias : node.op->aliases())
        if (alias.kind == Alias::Kind::kView && to_bucket_.contains({node.id, alias.output}))
          to_bucket_.insert(node.inputs[static_cast<size_t>(alias.input)]);
    }
  }

  int last_use(ValueRef ref) const {
    int last = -1;
    if (const auto it = uses_.find(ref); it != uses_.end())
      for (const Use& use : it->second) last = std::max(last, use.end);
    return last;
  }

  void define(int p) {
    const Node& node = graph_.node(schedule_.order[static_cast<size_t>(p)]);
    const auto aliases = node.op->aliases();
    const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueRef ref{node.id, static_cast<int>(i)};
      int root = -1;
      for (const Alias& alias : aliases) {
        if (alias.output != static_cast<int>(i) || root >= 0) continue;
        const ValueRef input = node.inputs[static_cast<size_t>(alias.input)];
        if (alias.kind != Alias::Kind::kInPlace || may_overwrite(node, alias, ref, p)) root = root_of_.at(input);
        CHECK(alias.kind != Alias::Kind::kUpdate || !roots_[static_cast<size_t>(root)].persistent.empty(),
              "[{} {}] updates {}, which does not live between steps", node.op->name(), node.name,
              graph_.node(input.node).name);
      }
      CHECK(root >= 0 || !node.op->contiguous(), "[{} {}] input {} cannot be reduced in place", node.op->name(),
            node.name, i);
      if (root < 0) {
        root = static_cast<int>(roots_.size());
        roots_.push_back({.bytes = align_up(graph_.type(ref).bytes()), .first = p, .last = p});
        if (leaf != nullptr && leaf->persistent()) roots_.back().persistent = node.name;
        if (leaf != nullptr && !leaf->persistent()) {  // the host writes it before the step, and maybe not before each
          roots_.back().first = 0;
          roots_.back().last = static_cast<int>(schedule_.order.size());
          roots_.back().input = true;
        }
      }
      Root& shared = roots_[static_cast<size_t>(root)];
      shared.values.push_back(ref);
      shared.last = std::max({shared.last, p, last_use(ref)});
      if (node.op->collective()) shared.last = std::max(shared.last, schedule_.wait[static_cast<size_t>(p)]);
      root_of_[ref] = root;
    }
    if (node.op->contiguous()) make_bucket(node);
  }

  // Whether this is the last use of everything that shares the input's memory, and no other input lies there.
  bool may_overwrite(const Node& node, const Alias& alias, ValueRef output, int p) const {
    const ValueRef input = node.inputs[static_cast<size_t>(alias.input)];
    if (!(graph_.type(input) == graph_.type(output))) return false;
    const int index = root_of_.at(input);
    const Root& root = roots_[static_cast<size_t>(index)];
    if (!root.persistent.empty() || root.input) return false;
    if (root.bucket >= 0 && to_bucket_.contains(output)) return false;  // a value lies in one bucket
    for (const ValueRef& ref : root.values) {
      const auto it = uses_.find(ref);
      if (it == uses_.end()) continue;
      for (const Use& use : it->second)
        if (use.position != p && use.end > p) return false;
    }
    for (size_t i = 0; i < node.inputs.size(); ++i)  // another input there would be read while it is overwritten
      if (static_cast<int>(i) != alias.input && root_of_.at(node.inputs[i]) == index) return false;
    for (size_t i = 0; i < node.outputs.size(); ++i) {  // taken by another output already
      const auto it = root_of_.find({node.id, static_cast<int>(i)});
      if (it != root_of_.end() && it->second == index) return false;
    }
    return true;
  }

  void make_bucket(const Node& node) {
    std::vector<int> members;
    for (const ValueRef& input : node.inputs) {
      const int index = root_of_.at(input);
      CHECK(roots_[static_cast<size_t>(index)].bucket < 0, "[{} {}] a value is in two buckets", node.op->name(),
            node.name);
      roots_[static_cast<size_t>(index)].bucket = static_cast<int>(buckets_.size());
      members.push_back(index);
    }
    buckets_.push_back(members);
  }

  const Graph& graph_;
  const Schedule& schedule_;
  std::map<ValueRef, std::vector<Use>> uses_;
  std::set<ValueRef> to_bucket_;  // values that are to lie in a bucket
  std::map<ValueRef, int> root_of_;
  std::vector<Root> roots_;
  std::vector<std::vector<int>> buckets_;
};

void place_blocks(std::vector<PlannedBlock>& blocks, int64_t& arena_bytes) {
  std::vector<size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  std::vector<size_t> placed;  // by offset
  for (const size_t index : order) {
    PlannedBlock& block = blocks[index];
    int64_t offset = 0;
    for (const size_t other : placed) {
      const PlannedBlock& taken = blocks[other];
      if (taken.last < block.first || block.last < taken.first) continue;
      if (offset + block.bytes <= taken.offset) break;
      offset = std::max(offset, taken.offset + taken.bytes);
    }
    block.offset = offset;
    arena_bytes = std::max(arena_bytes, offset + block.bytes);
    const auto at = std::upper_bound(placed.begin(), placed.end(), index,
                                     [&](size_t a, size_t b) { return blocks[a].offset < blocks[b].offset; });
    placed.insert(at, index);
  }
}

}  // namespace

MemoryPlan plan_memory(const Graph& graph, const Schedule& schedule, const KernelTable& kernels) {
  MemoryPlan plan;
  Lifetimes lifetimes(graph, schedule);
  std::map<ValueRef, int64_t> inside;  // offset of a value in its block
  std::map<ValueRef, size_t> block_of;
  const auto add_block = [&](const std::vector<int>& members) {
    PlannedBlock block;
    block.first = static_cast<int>(schedule.order.size());
    for (const int index : members) {
      const auto& root = lifetimes.roots()[static_cast<size_t>(index)];
      for (const ValueRef& ref : root.values) {
        inside[ref] = block.bytes;
        block_of[ref] = plan.blocks.size();
        block.values.push_back(ref);
      }
      block.bytes += root.bytes;
      block.first = std::min(block.first, root.first);
      block.last = std::max(block.last, root.last);
    }
    plan.blocks.push_back(std::move(block));
  };
  for (size_t i = 0; i < lifetimes.roots().size(); ++i) {
    const auto& root = lifetimes.roots()[i];
    if (!root.persistent.empty())
      for (const ValueRef& ref : root.values) plan.persistent[ref] = root.persistent;
    else if (root.bucket < 0)
      add_block({static_cast<int>(i)});
  }
  for (const std::vector<int>& bucket : lifetimes.buckets()) add_block(bucket);

  std::vector<int> workspace_block(schedule.order.size(), -1);
  for (size_t p = 0; p < schedule.order.size(); ++p) {
    const Node& node = graph.node(schedule.order[p]);
    if (runs_nothing(node)) continue;
    const int64_t bytes = align_up(kernels.workspace(*node.op, graph.input_types(node), node.outputs));
    if (bytes == 0) continue;
    workspace_block[p] = static_cast<int>(plan.blocks.size());
    plan.blocks.push_back({0, bytes, static_cast<int>(p), schedule.wait[p], {}});
  }
  place_blocks(plan.blocks, plan.arena_bytes);

  for (const auto& [ref, block] : block_of) plan.offsets[ref] = plan.blocks[block].offset + inside[ref];
  for (const int block : workspace_block)
    plan.workspace_offsets.push_back(block < 0 ? -1 : plan.blocks[static_cast<size_t>(block)].offset);
  return plan;
}

}  // namespace synthesizer
