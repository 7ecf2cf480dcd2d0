#include "core/attention/dense_layers.h"

#include "core/base/error.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/shape.h"

namespace synthesizer {
namespace {

// What the heads share is kept with a dim of size 1 where the heads' would be; it is never split.
const DimName kShared{"shared_heads"};

}  // namespace

Value DenseLayers::hidden(Value x, std::string_view prefix) const {
  const Dim heads = kHeads(sizes.num_heads), head = kHead(sizes.d_head);
  const Value weight =
      scope.parameter(fmt::format("{}w1", prefix), {kModel(sizes.d_model), heads, head}, fan_in(sizes.d_model));
  Value z = einsum(x, weight, {kModel});
  if (config.dense_bias) z = z + scope.parameter(fmt::format("{}b1", prefix), {heads, head}, zeros());
  return relu(z);
}

DenseLayers::Second DenseLayers::second(std::string_view prefix, std::string_view suffix, const Dim& width) const {
  const bool shared = config.share_across_heads;
  const Dim heads = shared ? kShared(1) : kHeads(sizes.num_heads), head = kHead(sizes.d_head);
  Second second;
  second.weight = scope.parameter(fmt::format("{}w{}", prefix, suffix), {heads, head, width}, fan_in(sizes.d_head));
  if (config.dense_bias) second.bias = scope.parameter(fmt::format("{}b{}", prefix, suffix), {heads, width}, zeros());
  if (!shared) return second;
  second.weight = merge(second.weight, {kShared, kHead}, kHead);
  if (second.bias) second.bias = merge(second.bias, {kShared, width.name}, width.name);
  return second;
}

Value DenseLayers::apply(Value hidden, const Second& second, const std::string& width) {
  const Value product = einsum_to(hidden, second.weight, {kBatch, kHeads, kLength, width});
  return second.bias ? product + second.bias : product;
}

}  // namespace synthesizer
