// One parameter's Adafactor update as graph nodes (Shazeer & Stern 2018, "Adafactor", algorithms 4 and 5).
#pragma once

#include "core/optim/optimizer.h"

namespace synthesizer {

// What all parameters of a step share.
struct AdafactorStep {
  Value learning_rate, decay, apply;  // []
  Value scale;                        // [], of the gradients; no value: 1
};

// The sums of squared gradients that the second moments (and the global norm) are made of.
struct SquaredSums {
  FactoredPair pair;
  Value rows, columns;  // Σ over pair.columns, Σ over pair.rows; of a factored tensor
  Value total;          // []
};
SquaredSums squared_sums(Value gradient, const AdafactorOptions& options);

void add_adafactor(Value parameter, Value gradient, const SquaredSums& sums, const AdafactorStep& step,
                   const AdafactorOptions& options);

}  // namespace synthesizer
