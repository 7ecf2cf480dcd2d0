// Several nodes that do not need each other as one (horizontal fusion: Li et al., "Automatic Horizontal Fusion for GPU
// Kernels", 2020): what is done to many tensors, and too small for each to be worth a start of its own, is started
// together. The pass that makes them is core/ops/passes/horizontal_pass.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace synthesizer {

// Inputs are those of the parts, one part after the other, and so are outputs. No part may read what another
// overwrites. It is made of one rank's nodes after differentiation and partition, so it has no gradient and is not
// split.
class HorizontalFusion : public Op {
 public:
  struct Part {
    std::shared_ptr<const Op> op;
    size_t inputs, outputs;
  };

  explicit HorizontalFusion(std::vector<Part> parts);
  const std::vector<Part>& parts() const { return parts_; }

  std::string_view name() const override { return "horizontal"; }
  std::string attributes() const override;
  bool pure() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  std::vector<PartitionRule> partition(std::span<const ValueType>, std::span<const ValueType>) const override;
  Cost cost(std::span<const ValueType>, std::span<const ValueType>) const override;
  // The parts' updates. What a part could do in place is not here: another part may read the same.
  std::vector<Alias> aliases() const override;

 private:
  std::vector<Part> parts_;
};

}  // namespace synthesizer
