// Models that the tests build.
#pragma once

#include "core/model/model.h"

namespace synthesizer {

// T5 1.0 small or base, both stacks with this attention.
inline ModelConfig t5_small(const AttentionConfig& attention) {
  return {.vocab = 32128, .d_model = 512, .d_ff = 2048, .num_heads = 8, .encoder = attention, .decoder = attention};
}

inline ModelConfig t5_base(const AttentionConfig& attention) {
  return {.vocab = 32128,
          .d_model = 768,
          .d_ff = 3072,
          .num_heads = 12,
          .encoder_layers = 12,
          .decoder_layers = 12,
          .encoder = attention,
          .decoder = attention};
}

// Small enough to run, with sizes that are all different.
inline ModelConfig tiny(const AttentionConfig& attention) {
  return {.vocab = 37,
          .padded_vocab = 40,
          .d_model = 12,
          .d_ff = 20,
          .num_heads = 3,
          .d_head = 4,
          .encoder_layers = 2,
          .decoder_layers = 3,
          .encoder = attention,
          .decoder = attention};
}

inline AttentionConfig attention(std::string_view kind, int64_t max_length = 512) {
  return {.kind = std::string(kind), .max_length = max_length};
}

}  // namespace synthesizer
