// The sublayers of a T5 layer (Raffel et al. 2020): x + dropout(f(rms_norm(x))), no biases.
#pragma once

#include "core/attention/attention.h"
#include "core/model/config.h"

namespace synthesizer {

AttentionSizes attention_sizes(const ModelConfig& config);

// x [..., model] normalised with the parameter `name`.scale of the scope, as `to`.
Value normalize(const Scope& scope, const ModelConfig& config, std::string_view name, Value x, DType to);

// All take and give x [batch, length, model]; `layer` is the layer's scope, the sublayer's names are theirs.
Value self_attention_block(const Scope& layer, const ModelConfig& config, const AttentionConfig& attention, Value x,
                           const AttentionTerms& terms);
// memory: [batch, memory_length, model], of which `terms` has the key mask. `scale` as in AttentionConfig.
Value cross_attention_block(const Scope& layer, const ModelConfig& config, bool scale, Value x, Value memory,
                            const AttentionTerms& terms);
Value feed_forward_block(const Scope& layer, const ModelConfig& config, Value x);

}  // namespace synthesizer
