// T5's encoder-decoder, and the decoder alone: from ids to the last stack's output.
#pragma once

#include "core/attention/scope.h"
#include "core/model/model.h"

namespace synthesizer {

// The embedding, shared by encoder, decoder and (where tied) the output: [vocab, model].
Value embedding_table(const Scope& scope, const ModelConfig& config);

// Both give [batch, length, model] over the targets' positions.
Value encode_decode(const Scope& scope, const ModelConfig& config, Value table, const ModelInputs& in);
Value decode(const Scope& scope, const ModelConfig& config, Value table, const ModelInputs& in);

}  // namespace synthesizer
