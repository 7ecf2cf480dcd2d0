// T5's span corruption (Raffel et al., section 3.1.4): the lengths of `random_spans_helper`, the mask of
// `random_spans_noise_mask`, and sentinels for the spans. Randomness comes from data/random_stream.h, so an example is
// a pure function of its tokens and its key.
#pragma once

#include <cstdint>
#include <span>

#include "data/objective.h"
#include "data/random_stream.h"

namespace synthesizer {

// How many of a window's tokens are noise, and in how many spans.
struct SpanNoiseSizes {
  int64_t raw_length = 0;    // tokens of the window: 568
  int64_t noise_tokens = 0;  // 85
  int64_t spans = 0;         // 28, each a kept segment and then a noise segment

  // The kept tokens, a sentinel a span, eos: 512.
  int64_t input_length() const { return raw_length - noise_tokens + spans + 1; }
  // The noise tokens, a sentinel a span, eos: 114.
  int64_t target_length() const { return noise_tokens + spans + 1; }
};

// raw_length >= 2. At least one token is noise, one is kept, and there is one span.
SpanNoiseSizes span_noise_sizes(int64_t raw_length, double noise_density, double mean_span_length);

// Those of the longest window whose inputs fit into input_length (random_spans_helper). UsageError for lengths below 3.
SpanNoiseSizes span_noise_sizes_for_inputs(int64_t input_length, double noise_density, double mean_span_length);

// The parts of a uniformly random composition of `items` into `parts` positive parts, one after the other (T5's
// `_random_segmentation`: every subset of parts - 1 of the items - 1 boundaries is equally likely).
class RandomComposition {
 public:
  RandomComposition(int64_t items, int64_t parts, RandomStream stream)
      : boundaries_(static_cast<uint32_t>(items - 1)), cuts_(static_cast<uint32_t>(parts - 1)), stream_(stream) {}
  int64_t next();

 private:
  uint32_t boundaries_;  // not yet decided
  uint32_t cuts_;        // to be made among them
  RandomStream stream_;
};

// Window to inputs and targets, of input_length() and target_length() tokens; fills exactly these.
void make_span_noise(std::span<const int32_t> window, const SpanNoiseSizes& sizes, const Vocabulary& vocabulary,
                     const ExampleKey& key, std::span<int32_t> inputs, std::span<int32_t> targets);

}  // namespace synthesizer
