// A step of a model that trains in no time.
#pragma once

#include <string>

#include "core/train/step_graph.h"

namespace synthesizer {

inline StepGraphOptions small_step(const std::string& attention, OptimizerKind optimizer, int64_t batch) {
  StepGraphOptions options;
  ModelConfig& model = options.model;
  model.vocab = 48;
  model.d_model = 16;
  model.d_ff = 32;
  model.num_heads = 2;
  model.d_head = 8;
  model.encoder_layers = model.decoder_layers = 1;
  model.encoder.kind = model.decoder.kind = attention;
  model.encoder.max_length = model.decoder.max_length = 12;
  options.shape = {batch, 8, 6};
  options.optimizer.kind = optimizer;
  return options;
}

}  // namespace synthesizer
