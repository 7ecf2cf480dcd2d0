// From a window of the token stream to what a model is trained on. The two objectives are data/span_noise (T5's) and
// data/causal; here is what a run chooses and the sizes that follow.
#pragma once

#include <cstdint>
#include <span>

#include "data/vocabulary.h"

namespace synthesizer {

enum class ObjectiveKind { kSpanDenoising, kCausal };

struct ObjectiveOptions {
  ObjectiveKind kind = ObjectiveKind::kSpanDenoising;
  int64_t input_length = 512;     // of the encoder; causal: 0
  int64_t target_length = 0;      // 0: what input_length gives (512: 114); causal: must be given
  double noise_density = 0.15;    // span denoising: fraction of tokens that is masked
  double mean_span_length = 3.0;  // span denoising: tokens of a noise span
  int32_t sentinels = 100;
  bool packed = false;  // causal: the documents of a window, which end with eos, are each apart
};

// One row of a batch. Lengths in tokens; live targets have weight 1, padding 0.
struct ExampleRow {
  std::span<int32_t> inputs;          // input_length; empty for causal
  std::span<int32_t> decoder_inputs;  // target_length: the targets shifted right by one, pad first
  std::span<int32_t> targets;         // target_length
  std::span<float> weights;           // target_length
  std::span<int32_t> segments;        // packed: target_length, else empty: the number of each target's document, from 1
};

// Which example: everything random about it is a function of these three.
struct ExampleKey {
  uint64_t seed = 0;
  int64_t epoch = 0;
  int64_t example = 0;
};

class Objective {
 public:
  // UsageError: lengths that cannot be, a target_length too short for input_length, a vocabulary too small.
  Objective(const ObjectiveOptions& options, const Vocabulary& vocabulary);

  ObjectiveKind kind() const { return options_.kind; }
  bool packed() const { return options_.packed; }
  int64_t raw_length() const { return raw_length_; }      // tokens of a window: 568 for 512 inputs
  int64_t input_length() const { return input_length_; }  // 0 for causal
  int64_t target_length() const { return target_length_; }
  // Live targets of every example of raw_length() tokens.
  int64_t live_targets() const { return live_targets_; }
  const Vocabulary& vocabulary() const { return vocabulary_; }

  // Values of a row's segments.
  int64_t segments_length() const { return options_.packed ? target_length_ : 0; }

  // Fills the row from raw_length() tokens; a shorter text (causal: from one token, else from two) leaves padding with
  // weight 0, of segment 0, at the ends. Pure; allocates nothing.
  void make(std::span<const int32_t> window, const ExampleKey& key, const ExampleRow& row) const;
  // A row that only fills up a batch: all weights 0.
  void make_filler(const ExampleRow& row) const;

 private:
  ObjectiveOptions options_;
  Vocabulary vocabulary_;
  int64_t raw_length_ = 0;
  int64_t input_length_ = 0;
  int64_t target_length_ = 0;
  int64_t live_targets_ = 0;
};

}  // namespace synthesizer
