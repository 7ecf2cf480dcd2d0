// The output layer, tied to the embedding or its own, and the loss.
#pragma once

#include "core/attention/scope.h"
#include "core/model/model.h"

namespace synthesizer {

// Sets loss, nll, nll_sum and weight_sum of `out`: Σ weight·(nll + z·log²Z) / denominator over the targets, the logits
// being x […, model] · table, of which the first `true_vocab` columns count.
void add_loss(ModelOutputs& out, Value table, Value x, int64_t true_vocab, const ModelInputs& in,
              const LossConfig& loss, const ModelOptions& options);

// x: [batch, length, model], the decoder's output.
ModelOutputs add_outputs(const Scope& scope, const ModelConfig& config, Value table, Value x, const ModelInputs& in,
                         const LossConfig& loss, const ModelOptions& options);

}  // namespace synthesizer
