// A stack of T5 layers, with the relative-position bias that its layers share; or one layer applied again and again
// with a vector of its own for each time (Dehghani et al. 2019, "Universal Transformers"; the learned step signal of
// Tensor2Tensor).
#pragma once

#include "core/model/blocks.h"

namespace synthesizer {

// Name of the output that is the alignment of a layer's self-attention: "alignment.encoder.layers.0".
std::string alignment_output(std::string_view stack, int64_t layer);

struct StackInput {
  Value x = {};            // [batch, length, model], embedded
  Value key_mask = {};     // [batch, memory_length] i32 over the stack's own positions; or no value
  Value segments = {};     // [batch, length] i32 of packed rows, in the place of key_mask: the document of each token
  Value positions = {};    // [batch, length] i32 of packed rows: the place of each token in its document; or no value
  Value memory = {};       // [batch, memory_length, model], of the encoder; no value: no cross-attention
  Value memory_mask = {};  // [batch, memory_length] i32 over the memory, of packed rows their documents; or no value
  bool causal = false;
};

// Gives [batch, length, model] after the final norm. Dropout at both ends, as T5 has it.
Value stack(const Scope& scope, const ModelConfig& config, const AttentionConfig& attention, int64_t layers,
            const StackInput& in);

}  // namespace synthesizer
