// The attention strings: which synthesizing functions there are, and what a string like "R+V" names.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/attention/synthesizing_function.h"

namespace synthesizer {

// Names of all synthesizing functions, in the paper's order: "V", "R", …
std::vector<std::string> attention_names();

// The parts of "R + V", in order. Throws UsageError, beginning with `where`, for a name that is not known (with the
// nearest ones) or not in this version, for a part that appears twice and for an empty one.
std::vector<std::string> attention_parts(std::string_view text, std::string_view where = "attention");

// What a configuration says that can only be right or wrong as a whole: the string, the mixture's parts, FD's factors,
// sizes above zero. Throws UsageError.
void check_attention(const AttentionConfig& config, std::string_view where = "attention");

// The function of one part.
std::unique_ptr<SynthesizingFunction> synthesizing_function(std::string_view part, const AttentionConfig& config,
                                                            const AttentionSizes& sizes);

}  // namespace synthesizer
