// The model's vocabulary: SentencePiece's pieces, then T5's sentinels (Raffel et al., "Exploring the Limits of Transfer
// Learning", section 3.1.4), then rows without a meaning up to a multiple of 128: 32000 -> 32100 -> 32128.
#pragma once

#include <cstdint>

namespace synthesizer {

struct Vocabulary {
  static constexpr int32_t kPad = 0;  // also the decoder's first input
  static constexpr int32_t kMultiple = 128;

  int32_t pieces = 0;  // of the tokenizer
  int32_t eos = 1;
  int32_t sentinels = 100;

  // Ids that have a meaning: losses and label smoothing count these.
  int32_t size() const { return pieces + sentinels; }
  // Rows of the embedding.
  int32_t padded_size() const { return (size() + kMultiple - 1) / kMultiple * kMultiple; }
  // The id that stands for noise span `span` (0, 1, ...) of an example: 32099, 32098, ... As in T5 they go on into the
  // last pieces where an example has more spans than there are sentinels.
  int32_t sentinel(int32_t span) const { return size() - 1 - span; }
  bool is_sentinel(int32_t token) const { return token >= pieces && token < size(); }

  bool operator==(const Vocabulary&) const = default;
};

}  // namespace synthesizer
