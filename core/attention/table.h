// The attention strings: which synthesizing functions there are, and what a string like "R+V" names.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/attention/standalone_attention.h"
#include "core/attention/synthesizing_function.h"

namespace synthesizer {

// Names of all synthesizing functions, in the paper's order, then of what stands alone: "V", "R", … "LightConv", …
std::vector<std::string> attention_names();

// The parts of "R + V", in order. Throws UsageError, beginning with `where`, for a name that is not known (with the
// nearest ones), for a part that appears twice, for an empty one, and for what stands alone but has others beside it.
std::vector<std::string> attention_parts(std::string_view text, std::string_view where = "attention");

// What a configuration says that can only be right or wrong as a whole: the string, the mixture's parts, FD's factors,
// sizes above zero. Throws UsageError.
void check_attention(const AttentionConfig& config, std::string_view where = "attention");

// The same, and what depends on the stack: convolution heads that divide d_model, and nothing in a causal one that
// mixes positions.
void check_self_attention(const AttentionConfig& config, const AttentionSizes& sizes, bool causal,
                          std::string_view where = "attention");

// The function of one part.
std::unique_ptr<SynthesizingFunction> synthesizing_function(std::string_view part, const AttentionConfig& config,
                                                            const AttentionSizes& sizes);

// What stands alone and is named by the whole string; null if the string names synthesizing functions.
std::unique_ptr<StandaloneAttention> standalone_attention(std::string_view text, const AttentionConfig& config,
                                                          const AttentionSizes& sizes);

}  // namespace synthesizer
