// Gradient accumulation: a step's batch in micro-batches that run one after the other, and how what they give is added
// up. A micro-batch's graph adds its gradients to the sums that earlier ones have left; the last one's goes on to the
// update, so that its gradients are reduced between ranks while it is still computing.
#pragma once

#include <memory>
#include <vector>

#include "core/graph/graph.h"
#include "core/ops/dropout.h"

namespace synthesizer {

// The index of the micro-batch, an i64 scalar input of graphs of several.
inline constexpr const char* kMicroBatch = "micro_batch";

// What one micro-batch does with its gradients: adds these sums to them, in this order, and keeps the result as the sum
// `into`, or (-1, the last) updates by it.
struct AccumulationPass {
  std::vector<int> adds;
  int into = -1;
  bool operator==(const AccumulationPass&) const = default;
};

struct Accumulation {
  MicroBatches micro_batches;
  // false: one sum, to which each micro-batch adds. true: the sums of a balanced binary tree over the micro-batches
  // (a power of two), of which log2(count) are kept: a part of `reduction: ORDERED`.
  bool tree = false;

  // One for each micro-batch, in order.
  std::vector<AccumulationPass> passes() const;
};

// The graph, of one micro-batch, with the masks of dropout being those of the whole batch.
std::unique_ptr<Graph> number_micro_batches(const Graph& graph, const MicroBatches& micro_batches);

// Appends what `pass` does with x: the sum to go on with, or no value where it is kept. The sums are leaves named
// "gathered.NUMBER.NAME".
Value add_up(Value x, const std::string& name, const AccumulationPass& pass);

}  // namespace synthesizer
