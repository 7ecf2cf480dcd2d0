// Text with sentinels written out, as people type it: "He opened the <extra_id_0> and went in."
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer.h"

namespace synthesizer {

// Pieces of the text, <extra_id_N> as the id of sentinel N. Without eos. UsageError for a sentinel the vocabulary has
// not.
std::vector<int32_t> encode_marked(std::string_view text, const Tokenizer& tokenizer, const Vocabulary& vocabulary);

// The input with each sentinel replaced by what the output puts after the same sentinel, in brackets: "He opened the
// [door] and went in."; [] where the output has nothing for it.
std::string fill_marked(std::string_view input, std::string_view output);

}  // namespace synthesizer
