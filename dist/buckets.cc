#include "dist/buckets.h"

#include <map>
#include <set>
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
    for (const int id : schedule(from_).order) {
      const Node& node = from_.node(id);
      for (const ValueRef& input : node.inputs)
        if (waiting_.contains(input)) flush();
      if (joins(node))
        open(node);
      else
        copy_.copy(node);
    }
    flush();
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

  void open(const Node& node) {
    const auto& all_reduce = dynamic_cast<const AllReduce&>(*node.op);
    if (!members_.empty()) {
      const Node& first = from_.node(members_.front());
      const auto& other = dynamic_cast<const AllReduce&>(*first.op);
      if (other.axis() != all_reduce.axis() || other.wire() != all_reduce.wire() ||
          first.outputs[0].dtype != node.outputs[0].dtype)
        flush();
    }
    members_.push_back(node.id);
    waiting_.insert({node.id, 0});
    bytes_ += node.outputs[0].bytes();
    if (bytes_ >= bucket_bytes_) flush();
  }

  void flush() {
    if (members_.empty()) return;
    const Node& first = from_.node(members_.front());
    std::vector<Value> inputs;
    for (const int id : members_) inputs.push_back(copy_.at(from_.node(id).inputs[0]));
    const auto& single = dynamic_cast<const AllReduce&>(*first.op);
    const auto op = std::make_shared<AllReduce>(single.axis(), Reduction::kSum, members_.size(), single.wire());
    const std::vector<Value> outputs = to_->add_named(op, inputs, first.name);
    for (size_t i = 0; i < members_.size(); ++i) copy_.map({members_[i], 0}, outputs[i]);
    members_.clear();
    waiting_.clear();
    bytes_ = 0;
  }

  const Graph& from_;
  int64_t bucket_bytes_;
  std::unique_ptr<Graph> to_;
  GraphCopy copy_;
  std::map<ValueRef, int> uses_;
  std::vector<int> members_;
  std::set<ValueRef> waiting_;
  int64_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Graph> bucket_all_reduces(const Graph& graph, int64_t bucket_bytes) {
  return Bucketer(graph, bucket_bytes).run();
}

}  // namespace synthesizer
