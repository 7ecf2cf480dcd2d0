// GLU: S(X) = W₂((xW + b) ⊙ σ(xV + c)) + b₂, a gated linear unit (Dauphin et al. 2017) in the
// place of the relu of Dense; appendix A.2 of the paper.
#pragma once

#include "core/attention/position_layer.h"
#include "core/base/error.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"

namespace synthesizer {

class GatedLinear : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;

  Term alignment(const Scope& scope, const AttentionInput& in) const override {
    const Dim heads = kHeads(sizes_.num_heads), head = kHead(sizes_.d_head);
    const Dim positions = kMemoryPosition(config_.max_length);
    const auto layer = [&](std::string_view name) {
      const Value weight = scope.parameter(fmt::format("glu.{}.weight", name), {kModel(sizes_.d_model), heads, head},
                                           fan_in(sizes_.d_model));
      return einsum(in.x, weight, {kModel}) + scope.parameter(fmt::format("glu.{}.bias", name), {heads, head}, zeros());
    };
    const Value linear = layer("linear"), gate = layer("gate");
    const Value w2 = scope.parameter("glu.w2", {heads, head, positions}, fan_in(sizes_.d_head));
    return position_layer(linear * sigmoid(gate), w2, scope.parameter("glu.b2", {heads, positions}, zeros()), in);
  }
};

}  // namespace synthesizer
