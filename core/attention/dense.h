// D: S(X) = W₂ relu(W₁x + b₁) + b₂; equations 1 and 2 of the paper.
#pragma once

#include "core/attention/dense_layers.h"
#include "core/attention/position_layer.h"

namespace synthesizer {

class Dense : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;

  Term alignment(const Scope& scope, const AttentionInput& in) const override {
    const DenseLayers layers{scope, config_, sizes_};
    const Value hidden = layers.hidden(in.x, "d.");
    const DenseLayers::Second second = layers.second("d.", "2", kMemoryPosition(config_.max_length));
    return position_layer(hidden, second.weight, second.bias, in);
  }
};

}  // namespace synthesizer
