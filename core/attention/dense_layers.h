// The two layers that D and FD are made of: relu(W₁x + b₁), and a linear layer a head from it to positions.
#pragma once

#include <string_view>

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

struct DenseLayers {
  const Scope& scope;
  const AttentionConfig& config;
  const AttentionSizes& sizes;

  // relu(W₁x + b₁): [batch, length, heads, head], or [batch, length, hidden] of width d_model (config.dense_width).
  // Parameters w1 (or V's query.weight) and b1 under `prefix` ("d.").
  Value hidden(Value x, std::string_view prefix) const;

  struct Second {
    Value weight;  // [heads, head or hidden, width], or [head, width] where the heads share it
    Value bias;    // [heads, width], or [width]; no value without biases
  };
  // Parameters w<suffix> and b<suffix> under `prefix`.
  Second second(std::string_view prefix, std::string_view suffix, const Dim& width) const;
  // W·hidden + b: [batch, length, heads, width].
  static Value apply(Value hidden, const Second& second, const std::string& width);

 private:
  Dim hidden_dim() const;
};

}  // namespace synthesizer
