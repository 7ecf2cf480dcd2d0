// Initial values as T5's code (mesh-tensorflow) draws them, named by what they depend on.
#pragma once

#include <cstdint>

#include "core/attention/config.h"
#include "core/base/random.h"

namespace synthesizer {

// Normal, cut at two standard deviations, of scale fan_in^-1/2 (variance scaling, not corrected for the cut).
Initializer fan_in(int64_t inputs);
// Normal of standard deviation inputs^-1/2.
Initializer unit_normal(int64_t inputs);
// Glorot & Bengio 2010, uniform in ± sqrt(6 / (inputs + outputs)).
Initializer glorot_uniform(int64_t inputs, int64_t outputs);
// Of R and Fix, [heads, positions, positions]: kGlorot counts fans as TensorFlow does (positions·heads and positions²),
// kXavier as JAX (heads·positions both).
Initializer random_alignment(RandomInit init, int64_t heads, int64_t positions);
// Of FR's factors, [heads, positions, rank] each, likewise; kNormal makes the product's standard deviation 1.
Initializer random_factor(RandomInit init, int64_t heads, int64_t positions, int64_t rank);
Initializer zeros();
Initializer ones();

}  // namespace synthesizer
