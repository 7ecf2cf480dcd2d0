// Text with sentinels written out, as people type it: "He opened the <extra_id_0> and went in."
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/tokenizer.h"

namespace synthesizer {

// Pieces of the text, <extra_id_N> as the id of sentinel N. Without eos. UsageError for a sentinel the vocabulary has
// not.
std::vector<int32_t> encode_marked(std::string_view text, const Tokenizer& tokenizer, const Vocabulary& vocabulary);

}  // namespace synthesizer
