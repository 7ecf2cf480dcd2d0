#include "core/attention/convolution_layers.h"

#include "core/attention/windows.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/shape.h"
#include "core/ops/window.h"

namespace synthesizer {
namespace {

const DimName kHalves{"halves"};

}  // namespace

Value ConvolutionLayers::input(const AttentionInput& in) const {
  const Shape shape{kModel(sizes.d_model), kHalves(2), heads(), head()};
  const Value weight = scope.parameter("in_proj.weight", shape, unit_normal(sizes.d_model));
  const auto half = [&](int64_t i) {
    return einsum(in.x, merge(slice(weight, kHalves, i, 1), {kModel, kHalves}, kModel), {kModel});
  };
  const Value linear = half(0), gate = half(1);
  return live(linear * sigmoid(gate), in);
}

Value ConvolutionLayers::convolve(Value u, Value weights, const AttentionInput& in) const {
  const int64_t before = window_before(config.filter_width, in.causal);
  return window(u, within_document(weights, in, before), before);
}

Value ConvolutionLayers::output(Value y) const {
  const Shape shape{heads(), head(), kModel(sizes.d_model)};
  return einsum(y, scope.parameter("out_proj.weight", shape, unit_normal(sizes.d_model)), {kHeads, kHead});
}

}  // namespace synthesizer
