#include "data/objective.h"

#include <algorithm>

#include "core/base/error.h"
#include "data/causal.h"
#include "data/span_noise.h"

namespace synthesizer {

Objective::Objective(const ObjectiveOptions& options, const Vocabulary& vocabulary)
    : options_(options), vocabulary_(vocabulary) {
  if (options.sentinels < 0) fail_usage("sentinels: got {}, expected 0 or more", options.sentinels);
  vocabulary_.sentinels = options.sentinels;
  input_length_ = options.input_length;
  target_length_ = options.target_length;
  if (options.kind == ObjectiveKind::kCausal) {
    if (input_length_ != 0) fail_usage("input_length: got {}, expected 0 for a causal objective", input_length_);
    if (target_length_ < 1) fail_usage("target_length: got {}, expected at least 1", target_length_);
    raw_length_ = live_targets_ = target_length_;
    return;
  }
  if (options.packed)
    fail_usage("packed rows: got span denoising, whose windows run across documents, expected causal");
  const SpanNoiseSizes sizes =
      span_noise_sizes_for_inputs(input_length_, options.noise_density, options.mean_span_length);
  raw_length_ = sizes.raw_length;
  live_targets_ = sizes.target_length();
  if (target_length_ == 0) target_length_ = live_targets_;
  if (target_length_ < live_targets_) {
    fail_usage("target_length: got {}, expected at least {}, which input_length {} gives", target_length_,
               live_targets_, input_length_);
  }
  if (vocabulary_.sentinel(static_cast<int32_t>(sizes.spans)) <= vocabulary_.eos) {
    fail_usage("input_length: got {}, whose {} spans need more sentinels than the vocabulary of {} has", input_length_,
               sizes.spans, vocabulary_.size());
  }
}

void Objective::make(std::span<const int32_t> window, const ExampleKey& key, const ExampleRow& row) const {
  const auto length = static_cast<int64_t>(window.size());
  const int64_t least = options_.kind == ObjectiveKind::kCausal ? 1 : 2;
  CHECK(length >= least && length <= raw_length_, "a window of {} tokens, expected {} to {}", length, least,
        raw_length_);
  int64_t live = length;
  if (options_.kind == ObjectiveKind::kCausal) {
    make_causal(window, row.targets.first(window.size()));
  } else {
    const SpanNoiseSizes sizes = span_noise_sizes(length, options_.noise_density, options_.mean_span_length);
    live = sizes.target_length();
    std::fill(row.inputs.begin() + sizes.input_length(), row.inputs.end(), Vocabulary::kPad);
    make_span_noise(window, sizes, vocabulary_, key, row.inputs, row.targets);
  }
  std::fill(row.targets.begin() + live, row.targets.end(), Vocabulary::kPad);
  shift_right(row.targets, row.decoder_inputs);
  if (options_.packed)
    part_documents(row.targets.first(window.size()), row.segments, row.decoder_inputs, vocabulary_.eos);
  std::fill(row.weights.begin(), row.weights.begin() + live, 1.0f);
  std::fill(row.weights.begin() + live, row.weights.end(), 0.0f);
}

void Objective::make_filler(const ExampleRow& row) const {
  std::fill(row.inputs.begin(), row.inputs.end(), Vocabulary::kPad);
  // One live input, so that no attention is over nothing.
  if (!row.inputs.empty()) row.inputs.front() = vocabulary_.eos;
  std::fill(row.targets.begin(), row.targets.end(), Vocabulary::kPad);
  std::fill(row.decoder_inputs.begin(), row.decoder_inputs.end(), Vocabulary::kPad);
  std::fill(row.weights.begin(), row.weights.end(), 0.0f);
  std::fill(row.segments.begin(), row.segments.end(), 1);  // as above: live, of weight 0
}

}  // namespace synthesizer
