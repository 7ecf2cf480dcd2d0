// The output layer, tied to the embedding or its own, and the loss.
#pragma once

#include "core/attention/scope.h"
#include "core/model/model.h"

namespace synthesizer {

// x: [batch, length, model], the decoder's output.
ModelOutputs add_outputs(const Scope& scope, const ModelConfig& config, Value table, Value x, const ModelInputs& in,
                         const LossConfig& loss, const ModelOptions& options);

}  // namespace synthesizer
