#include "core/attention/initial.h"

#include <cmath>

namespace synthesizer {

Initializer fan_in(int64_t inputs) { return Initializer::truncated_normal(1 / std::sqrt(static_cast<double>(inputs))); }

Initializer unit_normal(int64_t inputs) { return Initializer::normal(1 / std::sqrt(static_cast<double>(inputs))); }

Initializer glorot_uniform(int64_t inputs, int64_t outputs) {
  return Initializer::uniform(std::sqrt(6 / static_cast<double>(inputs + outputs)));
}

Initializer zeros() { return Initializer::constant(0); }
Initializer ones() { return Initializer::constant(1); }

}  // namespace synthesizer
