// What of a model is made again in backward, by choice: the policy for the pass of core/graph/recompute.h. It goes by
// the dims and the names that model code gives, and so knows nothing of any one attention.
#pragma once

#include "core/graph/recompute.h"

namespace synthesizer {

enum class Recompute {
  kNone,
  // Everything that has a number for each query and key: scores, alignments, what they are sums and products of
  // (Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models"). Queries, keys, values
  // and hidden layers are kept. Attention by blocks (core/ops/dot_attention.h) has nothing of the kind and is no part
  // of it. Of the output layer the logits (core/ops/cross_entropy.h), in this choice and the next.
  kAttention,
  // The layers of the stacks, of a universal one each application: their results, the residual stream, are kept.
  kBlock,
};

// Of kNone there are none.
RecomputeRegions recompute_regions(Recompute choice);

}  // namespace synthesizer
