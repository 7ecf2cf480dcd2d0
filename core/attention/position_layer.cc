#include "core/attention/position_layer.h"

#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape.h"

namespace synthesizer {

namespace {

Value of_each_head(Value x, const Dim& heads) {
  if (x.shape().has(heads.name)) return x;
  std::vector<Dim> dims = x.shape().dims();
  dims.insert(dims.begin(), heads);
  return broadcast(x, Shape(dims));
}

Term in_factors(Value hidden, Value weight, Value bias, const AttentionInput& in) {
  const Dim heads = hidden.shape().rank() == 4 ? hidden.shape().dims()[2] : weight.shape().dims()[0];
  const auto keys = [&](Value x) {
    return rename(weighted(of_each_head(leading_keys(x, in), heads), in), kMemoryPosition, kMemoryLength);
  };
  const Value weights = keys(weight);
  return Term({hidden, weights}, bias ? keys(bias) : Value{});
}

}  // namespace

Term position_layer(Value hidden, Value weight, Value bias, const AttentionInput& in) {
  const Shape& shape = hidden.shape();
  if (shape.rank() == 3 || shape.dims()[2].name == kHeads.name) return in_factors(hidden, weight, bias, in);
  for (Value* value : {&weight, &bias})
    if (*value) *value = weighted(leading_keys(*value, in), in);
  const Value product = einsum_to(hidden, weight, {kBatch, kHeads, kLength, kMemoryPosition});
  return at_keys(bias ? product + bias : product, in);
}

}  // namespace synthesizer
