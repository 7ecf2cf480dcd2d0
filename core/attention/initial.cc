#include "core/attention/initial.h"

#include <cmath>

#include "core/base/error.h"

namespace synthesizer {

Initializer fan_in(int64_t inputs) { return Initializer::truncated_normal(1 / std::sqrt(static_cast<double>(inputs))); }

Initializer unit_normal(int64_t inputs) { return Initializer::normal(1 / std::sqrt(static_cast<double>(inputs))); }

Initializer glorot_uniform(int64_t inputs, int64_t outputs) {
  return Initializer::uniform(std::sqrt(6 / static_cast<double>(inputs + outputs)));
}

Initializer random_alignment(RandomInit init, int64_t heads, int64_t positions) {
  switch (init) {
    case RandomInit::kGlorot:
      return glorot_uniform(positions * heads, positions * positions);
    case RandomInit::kXavier:
      return glorot_uniform(heads * positions, heads * positions);
    case RandomInit::kNormal:
      return unit_normal(1);
  }
  fail("unknown initial values {} of R", static_cast<int>(init));
}

Initializer random_factor(RandomInit init, int64_t heads, int64_t positions, int64_t rank) {
  switch (init) {
    case RandomInit::kGlorot:
      return glorot_uniform(rank * heads, rank * positions);
    case RandomInit::kXavier:
      return glorot_uniform(heads * positions, heads * rank);
    case RandomInit::kNormal:
      return Initializer::normal(std::pow(static_cast<double>(rank), -0.25));
  }
  fail("unknown initial values {} of FR", static_cast<int>(init));
}

Initializer zeros() { return Initializer::constant(0); }
Initializer ones() { return Initializer::constant(1); }

}  // namespace synthesizer
