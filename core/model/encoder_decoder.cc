#include "core/model/encoder_decoder.h"

#include "core/model/stack.h"
#include "core/ops/embedding.h"
#include "core/ops/shape.h"

namespace synthesizer {

Value embedding_table(const Scope& scope, const ModelConfig& config) {
  const Scope block(scope, "embedding");
  return block.parameter("weight", {kVocab(config.rows()), kModel(config.d_model)}, unit_normal(1));
}

Value encode_decode(const Scope& scope, const ModelConfig& config, Value table, const ModelInputs& in) {
  Value memory;
  {
    const Scope encoder(scope, "encoder");
    const StackInput source{.x = embedding(table, in.inputs, scope.residual()),
                            .key_mask = in.input_mask,
                            .segments = in.input_segments,
                            .positions = in.input_positions};
    memory = rename(stack(encoder, config, config.encoder, config.encoder_layers, source), kLength, kMemoryLength);
  }
  const Scope decoder(scope, "decoder");
  const Value mask = in.input_segments ? rename(in.input_segments, kLength, kMemoryLength) : in.input_mask;
  const StackInput target{.x = embedding(table, in.decoder_inputs, scope.residual()),
                          .segments = in.target_segments,
                          .positions = in.target_positions,
                          .memory = memory,
                          .memory_mask = mask,
                          .causal = true};
  return stack(decoder, config, config.decoder, config.decoder_layers, target);
}

Value decode(const Scope& scope, const ModelConfig& config, Value table, const ModelInputs& in) {
  const Scope decoder(scope, "decoder");
  const StackInput target{.x = embedding(table, in.decoder_inputs, scope.residual()),
                          .segments = in.target_segments,
                          .positions = in.target_positions,
                          .causal = true};
  return stack(decoder, config, config.decoder, config.decoder_layers, target);
}

}  // namespace synthesizer
