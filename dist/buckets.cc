#include "dist/buckets.h"

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/graph/schedule.h"
#include "core/ops/collectives.h"

namespace synthesizer {
namespace {

class Bucketer {
 public:
  Bucketer(const Graph& from, int64_t bucket_bytes)
      : from_(from), bucket_bytes_(bucket_bytes), to_(std::make_unique<Graph>()), copy_(from, *to_) {
    for (const Node& node : from_.nodes())
      for (const ValueRef& input : node.inputs) ++uses_[input];
    for (const auto& [name, ref] : from_.outputs()) ++uses_[ref];
  }

  std::unique_ptr<Graph> run() {
    std::vector<int> order = schedule(from_).order;
    while (!order.empty()) {
      const std::vector<int> now = std::exchange(order, {});
      deferred_.clear();
      kept_for_later_.clear();
      held_.clear();
      for (const int id : now)
        if (!place(from_.node(id))) order.push_back(id);
      flush_all();
    }
    copy_.finish();
    return std::move(to_);
  }

 private:
  // Nothing else reads the memory that the sum would be made in, and it is in no bucket yet: a sum over two axes is in
  // that of the first.
  bool owned(ValueRef ref) const {
    const Node& node = from_.node(ref.node);
    if (dynamic_cast<const AllReduce*>(node.op.get()) != nullptr) return false;
    if (uses_.at(ref) != 1 || dynamic_cast<const Leaf*>(node.op.get()) != nullptr) return false;
    for (const Alias& alias : node.op->aliases())
      if (alias.output == ref.output && alias.kind != Alias::Kind::kInPlace)
        return alias.kind == Alias::Kind::kView && owned(node.inputs[static_cast<size_t>(alias.input)]);
    return true;
  }

  bool joins(const Node& node) const {
    const auto* all_reduce = dynamic_cast<const AllReduce*>(node.op.get());
    return all_reduce != nullptr && all_reduce->count() == 1 && all_reduce->reduction() == Reduction::kSum &&
           owned(node.inputs[0]);
  }

  // What is joined: sums over one axis, of one dtype and sent alike.
  using Kind = std::tuple<std::string, DType, Wire>;
  struct Bucket {
    std::vector<int> members;
    int64_t bytes = 0;
  };

  // False: the node comes in the next round.
  bool place(const Node& node) {
    if (waits(node)) {
      deferred_.insert(node.id);
      held_.insert(parameter_of(node));
      kept_for_later_.insert(node.inputs.begin(), node.inputs.end());
      return false;
    }
    for (const ValueRef& input : node.inputs)
      if (const auto found = waiting_.find(input); found != waiting_.end()) flush(Kind(found->second));
    if (joins(node))
      open(node);
    else
      copy_.copy(node);
    return true;
  }

  // Of a node of one parameter's update, "update.PARAMETER/…": its beginning; else "".
  static std::string parameter_of(const Node& node) {
    return node.name.starts_with("update.") ? node.name.substr(0, node.name.find('/')) : "";
  }

  // The update of one parameter need not be ended before the next one's begins: where it waits for a sum, the rest of
  // it does, in its order (what does not need the sum would only lie in memory), until the small sums of all
  // (Adafactor's, ZeRO's) are one call. What overwrites a value waits for those that still have to read it.
  bool waits(const Node& node) const {
    const std::string parameter = parameter_of(node);
    if (!parameter.empty() && held_.contains(parameter)) return true;
    for (const ValueRef& input : node.inputs)
      if (deferred_.contains(input.node) || (!parameter.empty() && waiting_.contains(input))) return true;
    for (const Alias& alias : node.op->aliases())
      if (alias.kind == Alias::Kind::kUpdate && kept_for_later_.contains(node.inputs[static_cast<size_t>(alias.input)]))
        return true;
    return false;
  }

  void open(const Node& node) {
    const auto& all_reduce = dynamic_cast<const AllReduce&>(*node.op);
    const Kind kind{all_reduce.axis(), node.outputs[0].dtype, all_reduce.wire()};
    Bucket& bucket = open_[kind];
    bucket.members.push_back(node.id);
    bucket.bytes += node.outputs[0].bytes();
    waiting_.emplace(ValueRef{node.id, 0}, kind);
    if (bucket.bytes >= bucket_bytes_) flush(kind);
  }

  void flush_all() {
    while (!open_.empty()) flush(Kind(open_.begin()->first));
  }

  void flush(const Kind& kind) {
    const auto found = open_.find(kind);
    const std::vector<int> members = std::move(found->second.members);
    open_.erase(found);
    std::vector<Value> inputs;
    for (const int id : members) inputs.push_back(copy_.at(from_.node(id).inputs[0]));
    const auto op = std::make_shared<AllReduce>(std::get<0>(kind), Reduction::kSum, members.size(), std::get<2>(kind));
    const std::vector<Value> outputs = to_->add_named(op, inputs, from_.node(members.front()).name);
    for (size_t i = 0; i < members.size(); ++i) {
      copy_.map({members[i], 0}, outputs[i]);
      waiting_.erase({members[i], 0});
    }
  }

  const Graph& from_;
  int64_t bucket_bytes_;
  std::unique_ptr<Graph> to_;
  GraphCopy copy_;
  std::map<ValueRef, int> uses_;
  std::map<Kind, Bucket> open_;
  std::map<ValueRef, Kind> waiting_;   // sums that are in a bucket which is open
  std::set<int> deferred_;             // nodes of the next round
  std::set<std::string> held_;         // parameters of these
  std::set<ValueRef> kept_for_later_;  // what these read
};

}  // namespace

std::unique_ptr<Graph> bucket_all_reduces(const Graph& graph, int64_t bucket_bytes) {
  return Bucketer(graph, bucket_bytes).run();
}

}  // namespace synthesizer
