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

void part_documents(std::span<const int32_t> targets, std::span<int32_t> segments, std::span<int32_t> decoder_inputs,
                    int32_t eos) {
  CHECK(targets.size() <= segments.size() && segments.size() == decoder_inputs.size(),
        "{} targets, {} segments, {} decoder inputs", targets.size(), segments.size(), decoder_inputs.size());
  int32_t document = 1;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (i > 0 && targets[i - 1] == eos) {
      ++document;
      decoder_inputs[i] = Vocabulary::kPad;
    }
    segments[i] = document;
  }
  std::fill(segments.begin() + static_cast<std::ptrdiff_t>(targets.size()), segments.end(), 0);
}

}  // namespace synthesizer
