#include "core/train/accumulation.h"

#include <fmt/format.h>

#include <bit>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/ops/update.h"

namespace synthesizer {

std::vector<AccumulationPass> Accumulation::passes() const {
  const auto count = static_cast<unsigned>(micro_batches.count);
  CHECK(count >= 1 && (!tree || std::has_single_bit(count)), "a tree over {} micro-batches", count);
  std::vector<AccumulationPass> passes(count);
  for (unsigned i = 0; i < count; ++i) {
    // Of a tree: leaf i completes as many subtrees as i has ones at its end.
    const int complete = tree ? std::countr_one(i) : std::min(i, 1u);
    for (int sum = 0; sum < complete; ++sum) passes[i].adds.push_back(sum);
    if (i + 1 < count) passes[i].into = tree ? complete : 0;
  }
  return passes;
}

std::unique_ptr<Graph> number_micro_batches(const Graph& graph, const MicroBatches& micro_batches) {
  auto result = std::make_unique<Graph>();
  GraphCopy copy(graph, *result);
  Value number;
  for (const Node& node : graph.nodes()) {
    const auto* dropout = dynamic_cast<const Dropout*>(node.op.get());
    if (dropout == nullptr) {
      copy.copy(node);
      continue;
    }
    if (!number) number = input(*result, kMicroBatch, DType::kInt64, {});
    const Value inputs[] = {copy.at(node.inputs[0]), copy.at(node.inputs[1]), number};
    copy.map({node.id, 0}, result->add_named(dropout->in_micro_batches(micro_batches), inputs, node.name)[0]);
  }
  copy.finish();
  return result;
}

Value add_up(Value x, const std::string& name, const AccumulationPass& pass) {
  Graph& graph = x.graph();
  const auto sum = [&](int number) {
    return gathered(graph, fmt::format("gathered.{}.{}", number, name), x.dtype(), x.shape());
  };
  if (pass.adds.empty() && pass.into < 0) return x;
  std::vector<Value> addends;
  for (const int number : pass.adds) addends.push_back(sum(number));
  if (pass.into < 0) return accumulate({}, x, addends);
  const bool own = !pass.adds.empty() && pass.adds.back() == pass.into;  // it is one of the addends
  accumulate(own ? addends.back() : sum(pass.into), x, addends);
  return {};
}

}  // namespace synthesizer
