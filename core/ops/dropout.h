// Dropout whose mask belongs to the element: Philox with key = seed and counter = (element / 4, step, hash of the
// name).
#pragma once

#include "core/graph/graph.h"
#include "core/graph/leaf.h"

namespace synthesizer {

// A step's batch in equal parts that run one after the other. The graph is of one part; which of its rows a rank has is
// the partition's to say, and which rows of the whole batch these are depends on the part's index too.
struct MicroBatches {
  int64_t count = 1;
  // false: a rank's parts lie one after the other, so that it has a range of the whole batch.
  // true: the parts do, and each is shared out among the ranks.
  bool interleaved = false;
};

// Inputs: x, step (i64 scalar), of several micro-batches the index of this one (i64 scalar). y = x·mask/(1 − rate), the
// mask shared along the dims in `shared` (T5 shares it along length). The element index is that of the *whole* mask
// tensor (x's dims without the shared ones, of the step's whole batch), so every layout and any number of micro-batches
// draw the same mask.
//   words = philox({low(e/4), high(e/4)·2⁰ ^ high(step), low(step), low(name)}, key(seed ^ high(name)·2³²)), word e%4;
//   kept if uniform_float(word) >= rate.
// The gradient is the same op on dy: its name hash is the forward node's.
class Dropout : public Op {
 public:
  Dropout(double rate, uint64_t seed, uint64_t name_hash, DimNames shared, Block block, MicroBatches micro_batches = {})
      : rate_(rate),
        seed_(seed),
        name_hash_(name_hash),
        shared_(std::move(shared)),
        block_(std::move(block)),
        micro_batches_(micro_batches) {}
  double rate() const { return rate_; }
  uint64_t seed() const { return seed_; }
  uint64_t name_hash() const { return name_hash_; }
  const DimNames& shared() const { return shared_; }
  // Where this rank's x lies in the whole x of one micro-batch (same dims and order as x).
  const Block& block() const { return block_; }
  const MicroBatches& micro_batches() const { return micro_batches_; }
  // The same mask, x being one of so many parts of it.
  std::shared_ptr<const Dropout> in_micro_batches(MicroBatches micro_batches) const;

  std::string_view name() const override { return "dropout"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<Value> gradient(const GradientContext& context) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  std::shared_ptr<const Op> localize(const PartitionRule&, const AxisIndex&, std::span<const ValueType>,
                                     std::span<const ValueType>) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, Alias::Kind::kInPlace}}; }

 private:
  double rate_;
  uint64_t seed_, name_hash_;
  DimNames shared_;
  Block block_;
  MicroBatches micro_batches_;
};

// x itself if rate is 0. The name that is hashed is the node's full name in its graph.
Value dropout(Value x, double rate, const DimNames& shared, Value step, uint64_t seed);

}  // namespace synthesizer
