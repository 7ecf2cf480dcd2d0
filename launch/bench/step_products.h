// The matrix products of a training step and nothing between them: what the rest of the step is measured against.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core/graph/graph.h"
#include "core/graph/memory_plan.h"
#include "core/graph/state_store.h"
#include "core/kernels/gemm.h"
#include "core/tensor/storage.h"
#include "core/train/step_graph.h"

namespace synthesizer {

// Of one rank's step in one piece, before ops are fused, so that every product is an einsum or one of the
// cross-entropy's blocks. They run in the step's order, on the addresses that the step's memory plan gives their
// operands: nothing lies in a cache that would not in the step.
class StepProducts {
 public:
  // `threads` is what `kernels` computes with. Throws Error for an op that has products and is neither of the two.
  StepProducts(const StepGraphOptions& options, const KernelTable& kernels, GemmThreads threads);

  // Writes plain numbers to all memory of the step: what earlier runs left of products of products could be tiny, and
  // slow.
  void refill();
  void run() const;

  int64_t count() const { return static_cast<int64_t>(products_.size()); }  // an einsum, or of a block, is one
  int64_t flops() const { return flops_; }                                  // 2·m·n·k of all
  int64_t bytes() const { return arena_.bytes() + store_.bytes(); }         // of the step's memory

 private:
  std::byte* address(ValueRef ref);
  void add_einsum(const Node& node, const KernelTable& kernels);
  struct CrossEntropy;
  void add_cross_entropy(const CrossEntropy& op, GemmThreads threads);
  void add_gemm(const Product& product, GemmThreads threads, const void* a, const void* b, void* c);

  std::unique_ptr<Graph> graph_;
  StateStore store_;
  MemoryPlan memory_;
  Storage arena_, workspace_;
  std::vector<Storage> scratch_;  // of each cross-entropy: its block of logits, and what it copies
  std::map<std::array<int64_t, 7>, std::shared_ptr<Gemm>> gemms_;
  int64_t workspace_bytes_ = 0;
  int64_t flops_ = 0;
  std::vector<std::function<void()>> products_;
};

}  // namespace synthesizer
