#include "data/causal.h"

#include <algorithm>

#include "core/base/error.h"
#include "data/vocabulary.h"

namespace synthesizer {

void make_causal(std::span<const int32_t> window, std::span<int32_t> targets) {
  CHECK(window.size() == targets.size(), "window of {} tokens, expected {}", window.size(), targets.size());
  std::copy(window.begin(), window.end(), targets.begin());
}

void shift_right(std::span<const int32_t> targets, std::span<int32_t> decoder_inputs) {
  CHECK(!targets.empty() && targets.size() == decoder_inputs.size(), "{} targets, {} decoder inputs", targets.size(),
        decoder_inputs.size());
  decoder_inputs.front() = Vocabulary::kPad;
  std::copy(targets.begin(), targets.end() - 1, decoder_inputs.begin() + 1);
}

}  // namespace synthesizer
