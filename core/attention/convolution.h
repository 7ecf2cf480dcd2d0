// Conv: row i of S(X) is a one-dimensional convolution over the positions around i, from d channels to one a position;
// appendix A.2 of the paper.
#pragma once

#include "core/attention/position_layer.h"
#include "core/attention/windows.h"
#include "core/ops/shape.h"
#include "core/ops/window.h"

namespace synthesizer {

class Convolution : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;

  Term alignment(const Scope& scope, const AttentionInput& in) const override {
    const int64_t width = config_.filter_width, d = sizes_.d_model;
    const Dim heads = kHeads(sizes_.num_heads), positions = kMemoryPosition(config_.max_length);
    const Value weight = scope.parameter("conv.w", {kWindow(width), kModel(d), heads, positions}, fan_in(width * d));
    const auto seen = [](Value x) { return merge(x, {kWindow, kModel}, kWindow); };  // all of a window
    Term term = position_layer(seen(windows(in, width)), seen(weight),
                               scope.parameter("conv.b", {heads, positions}, zeros()), in);
    term.dear = true;
    return term;
  }
};

}  // namespace synthesizer
