#include "data/span_noise.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace synthesizer {

SpanNoiseSizes span_noise_sizes(int64_t raw_length, double noise_density, double mean_span_length) {
  // Halves round to even, as in Python and TensorFlow.
  const auto noise = static_cast<int64_t>(std::nearbyint(static_cast<double>(raw_length) * noise_density));
  SpanNoiseSizes sizes{.raw_length = raw_length, .noise_tokens = std::clamp<int64_t>(noise, 1, raw_length - 1)};
  const auto spans = static_cast<int64_t>(std::nearbyint(static_cast<double>(sizes.noise_tokens) / mean_span_length));
  // Each span needs a kept token before it and a noise token in it.
  sizes.spans = std::clamp<int64_t>(spans, 1, std::min(sizes.noise_tokens, raw_length - sizes.noise_tokens));
  return sizes;
}

SpanNoiseSizes span_noise_sizes_for_inputs(int64_t input_length, double noise_density, double mean_span_length) {
  if (!(noise_density > 0 && noise_density < 1)) {
    fail_usage("noise_density: got {}, expected above 0 and below 1", noise_density);
  }
  if (!(mean_span_length >= 1)) fail_usage("mean_span_length: got {}, expected at least 1", mean_span_length);
  if (input_length < 3) fail_usage("input_length: got {}, expected at least 3 for span denoising", input_length);
  SpanNoiseSizes sizes = span_noise_sizes(2, noise_density, mean_span_length);
  for (;;) {
    const SpanNoiseSizes longer = span_noise_sizes(sizes.raw_length + 1, noise_density, mean_span_length);
    if (longer.input_length() > input_length) return sizes;
    sizes = longer;
  }
}

int64_t RandomComposition::next() {
  // Selection sampling (Knuth, volume 2, 3.4.2, algorithm S): each boundary is a cut with the chance that makes all
  // subsets equally likely.
  int64_t length = 1;
  while (boundaries_ > 0) {
    const bool cut = stream_.below(boundaries_--) < cuts_;
    if (cut) {
      --cuts_;
      return length;
    }
    ++length;
  }
  return length;
}

void make_span_noise(std::span<const int32_t> window, const SpanNoiseSizes& sizes, const Vocabulary& vocabulary,
                     const ExampleKey& key, std::span<int32_t> inputs, std::span<int32_t> targets) {
  CHECK(static_cast<int64_t>(window.size()) == sizes.raw_length, "window of {} tokens, expected {}", window.size(),
        sizes.raw_length);
  RandomComposition kept(sizes.raw_length - sizes.noise_tokens, sizes.spans,
                         RandomStream(key, hash_name("data.span_noise.kept")));
  RandomComposition noise(sizes.noise_tokens, sizes.spans, RandomStream(key, hash_name("data.span_noise.noise")));
  auto token = window.begin();
  auto input = inputs.begin();
  auto target = targets.begin();
  for (int64_t span = 0; span < sizes.spans; ++span) {
    const int64_t kept_length = kept.next();
    const int64_t noise_length = noise.next();
    const int32_t sentinel = vocabulary.sentinel(static_cast<int32_t>(span));
    input = std::copy_n(token, kept_length, input);
    *input++ = sentinel;
    token += kept_length;
    *target++ = sentinel;
    target = std::copy_n(token, noise_length, target);
    token += noise_length;
  }
  *input++ = vocabulary.eos;
  *target++ = vocabulary.eos;
  CHECK(token == window.end() && input == inputs.begin() + sizes.input_length() &&
            target == targets.begin() + sizes.target_length(),
        "spans do not add up to the window");
}

}  // namespace synthesizer
