// An encoder that tells the class of a text: the mean of its live positions into a linear layer (the paper's AG News
// and IMDb).
#pragma once

#include "core/attention/scope.h"
#include "core/model/model.h"

namespace synthesizer {

// Loss and logits over the classes. Parameters besides the encoder's: classifier.weight [model, classes] and
// classifier.bias [classes]. `loss.z_loss` is not used: it holds the logits of a large vocabulary together.
ModelOutputs encode_classify(const Scope& scope, const ModelConfig& config, Value table, const ModelInputs& in,
                             const LossConfig& loss, const ModelOptions& options);

}  // namespace synthesizer
