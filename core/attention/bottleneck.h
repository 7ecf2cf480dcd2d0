// Bottleneck: S(X) = W₂ relu(W₁x + b₁) + b₂ through a few units a head; ConvBottleneck: its first layer a convolution.
// Appendix A.2 of the paper.
#pragma once

#include <string>
#include <vector>

#include "core/attention/position_layer.h"
#include "core/attention/windows.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/window.h"

namespace synthesizer {

class Bottleneck : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;

  Term alignment(const Scope& scope, const AttentionInput& in) const override {
    return through(scope, "bottleneck.", in.x, {kModel(sizes_.d_model)}, in);
  }

 protected:
  // Both layers, the first from the dims `from`, which x has.
  Term through(const Scope& scope, const std::string& prefix, Value x, std::vector<Dim> from,
               const AttentionInput& in) const {
    const DimName bottleneck{"bottleneck"};
    const Dim heads = kHeads(sizes_.num_heads), inner = bottleneck(config_.bottleneck);
    const Dim positions = kMemoryPosition(config_.max_length);
    const Shape inputs(from);
    from.insert(from.end(), {heads, inner});
    const Value w1 = scope.parameter(prefix + "w1", Shape(from), fan_in(inputs.elements()));
    const Value b1 = scope.parameter(prefix + "b1", {heads, inner}, zeros());
    const Value hidden = relu(einsum(x, w1, inputs.names()) + b1);
    const Value w2 = scope.parameter(prefix + "w2", {heads, inner, positions}, fan_in(config_.bottleneck));
    return position_layer(hidden, w2, scope.parameter(prefix + "b2", {heads, positions}, zeros()), in);
  }
};

class ConvBottleneck : public Bottleneck {
 public:
  using Bottleneck::Bottleneck;

  Term alignment(const Scope& scope, const AttentionInput& in) const override {
    const int64_t width = config_.filter_width;
    return through(scope, "convbottleneck.", windows(in, width), {kWindow(width), kModel(sizes_.d_model)}, in);
  }
};

}  // namespace synthesizer
