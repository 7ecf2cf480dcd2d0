// Dropout whose mask belongs to the element: Philox with key = seed and counter = (element / 4, step, hash of the
// name).
#pragma once

#include "core/graph/graph.h"
#include "core/graph/leaf.h"

namespace synthesizer {

// Inputs: x, step (i64 scalar). y = x·mask/(1 − rate), the mask shared along the dims in `shared` (T5 shares it along
// length). The element index is that of the *whole* mask tensor (x's dims without the shared ones), so every layout
// draws the same mask.
//   words = philox({low(e/4), high(e/4)·2⁰ ^ high(step), low(step), low(name)}, key(seed ^ high(name)·2³²)), word e%4;
//   kept if uniform_float(word) >= rate.
// The gradient is the same op on dy: its name hash is the forward node's.
class Dropout : public Op {
 public:
  Dropout(double rate, uint64_t seed, uint64_t name_hash, DimNames shared, Block block)
      : rate_(rate), seed_(seed), name_hash_(name_hash), shared_(std::move(shared)), block_(std::move(block)) {}
  double rate() const { return rate_; }
  uint64_t seed() const { return seed_; }
  uint64_t name_hash() const { return name_hash_; }
  const DimNames& shared() const { return shared_; }
  // Where this rank's x lies in the whole x (same dims and order as x).
  const Block& block() const { return block_; }

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
};

// x itself if rate is 0. The name that is hashed is the node's full name in its graph.
Value dropout(Value x, double rate, const DimNames& shared, Value step, uint64_t seed);

}  // namespace synthesizer
