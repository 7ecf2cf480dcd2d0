#include "core/attention/dense_layers.h"

#include "core/attention/projections.h"
#include "core/base/error.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/shape.h"

namespace synthesizer {
namespace {

// What the heads share is kept with a dim of size 1 where the heads' would be; it is never split.
const DimName kShared{"shared_heads"};
// The hidden layer that all heads have in common, d_model wide; it is never split.
const DimName kHidden{"hidden"};

}  // namespace

Dim DenseLayers::hidden_dim() const {
  return config.dense_width == DenseWidth::kModel ? kHidden(sizes.d_model) : kHead(sizes.d_head);
}

Value DenseLayers::hidden(Value x, std::string_view prefix) const {
  std::vector<Dim> bias = {hidden_dim()};
  if (config.dense_width == DenseWidth::kHead) bias.insert(bias.begin(), kHeads(sizes.num_heads));
  std::vector<Dim> dims = bias;
  dims.insert(dims.begin(), kModel(sizes.d_model));
  const Value weight = config.share_query
                           ? query_weight(scope, config, sizes)
                           : scope.parameter(fmt::format("{}w1", prefix), Shape(dims), fan_in(sizes.d_model));
  Value z = einsum(x, weight, {kModel});
  if (config.dense_bias) z = z + scope.parameter(fmt::format("{}b1", prefix), Shape(bias), zeros());
  return relu(z);
}

DenseLayers::Second DenseLayers::second(std::string_view prefix, std::string_view suffix, const Dim& width) const {
  const bool shared = config.share_across_heads;
  const Dim heads = shared ? kShared(1) : kHeads(sizes.num_heads), hidden = hidden_dim();
  Second second;
  second.weight = scope.parameter(fmt::format("{}w{}", prefix, suffix), {heads, hidden, width}, fan_in(hidden.size));
  if (config.dense_bias) second.bias = scope.parameter(fmt::format("{}b{}", prefix, suffix), {heads, width}, zeros());
  if (!shared) return second;
  second.weight = merge(second.weight, {kShared, hidden.name}, hidden.name);
  if (second.bias) second.bias = merge(second.bias, {kShared, width.name}, width.name);
  return second;
}

Value DenseLayers::apply(Value hidden, const Second& second, const std::string& width) {
  const Value product = einsum_to(hidden, second.weight, {kBatch, kLength, kHeads, width});
  return second.bias ? product + second.bias : product;
}

}  // namespace synthesizer
