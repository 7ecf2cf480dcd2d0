#include "core/model/blocks.h"

#include <cmath>
#include <numbers>

#include "core/ops/cast.h"
#include "core/ops/einsum.h"
#include "core/ops/elementwise.h"
#include "core/ops/rms_norm.h"

namespace synthesizer {
namespace {

// GELU (Hendrycks & Gimpel 2016) in its tanh form, as T5 1.1 has it.
Value gelu(Value x) {
  const Value cubic = x + (square(x) * x) * 0.044715;
  const Value gate = affine(tanh(cubic * std::sqrt(2 / std::numbers::pi)), 0.5, 0.5);
  return x * gate;
}

Value feed_forward(const Scope& scope, const ModelConfig& config, Value x) {
  const Dim model = kModel(config.d_model), ff = kFf(config.d_ff);
  Value hidden = einsum(x, scope.parameter("in.weight", {model, ff}, fan_in(config.d_model)), {kModel});
  if (config.gated_gelu) {
    const Value gate_weight = scope.parameter("gate.weight", {model, ff}, fan_in(config.d_model));
    hidden = gelu(einsum(x, gate_weight, {kModel})) * hidden;
  } else {
    hidden = relu(hidden);
  }
  return einsum(scope.dropout(hidden), scope.parameter("out.weight", {ff, model}, fan_in(config.d_ff)), {kFf});
}

// The residual stream x with what a block gives for it, in the stream's own type.
Value onto(const Scope& scope, Value x, Value y) { return x + cast(scope.dropout(y), x.dtype()); }

}  // namespace

AttentionSizes attention_sizes(const ModelConfig& config) {
  return {.d_model = config.d_model, .num_heads = config.num_heads, .d_head = config.d_head};
}

Value normalize(const Scope& scope, const ModelConfig& config, std::string_view name, Value x, DType to) {
  const Scope norm(scope, name);
  const Value scale = norm.parameter("scale", {kModel(config.d_model)}, ones());
  return cast(rms_norm(x, scale, kModel, config.norm_eps), to);
}

Value self_attention_block(const Scope& layer, const ModelConfig& config, const AttentionConfig& attention, Value x,
                           const AttentionTerms& terms) {
  const Scope scope(layer, "self_attention");
  const Value normal = normalize(scope, config, "norm", x, scope.activations());
  return onto(scope, x, self_attention(scope, attention, attention_sizes(config), normal, terms));
}

Value cross_attention_block(const Scope& layer, const ModelConfig& config, bool scale, Value x, Value memory,
                            const AttentionTerms& terms) {
  const Scope scope(layer, "cross_attention");
  const Value normal = normalize(scope, config, "norm", x, scope.activations());
  return onto(scope, x, cross_attention(scope, attention_sizes(config), scale, normal, memory, terms));
}

Value feed_forward_block(const Scope& layer, const ModelConfig& config, Value x) {
  const Scope scope(layer, "ffn");
  return onto(scope, x, feed_forward(scope, config, normalize(scope, config, "norm", x, scope.activations())));
}

}  // namespace synthesizer
