// Conv: row i of S(X) is a one-dimensional convolution over the positions around i, from d channels to one a position;
// appendix A.2 of the paper.
#pragma once

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

class Convolution : public SynthesizingFunction {
 public:
  using SynthesizingFunction::SynthesizingFunction;
  Value alignment(const Scope& scope, const AttentionInput& in) const override;
};

// What a filter of this width sees at each position of in.x, padding as 0: [batch, length, window, model].
Value windows(const AttentionInput& in, int64_t width);

}  // namespace synthesizer
