// Causal language modelling: the decoder predicts every token of a window from those before it; its first input is pad.
#pragma once

#include <cstdint>
#include <span>

namespace synthesizer {

// The window's tokens are the targets.
void make_causal(std::span<const int32_t> window, std::span<int32_t> targets);

// Targets shifted right by one, pad first: what the decoder is given, for every objective.
void shift_right(std::span<const int32_t> targets, std::span<int32_t> decoder_inputs);

// Documents of one row, each apart: their numbers, from 1, for the targets that there are, 0 behind them; and at the
// first position of each the decoder is given pad, as if it were the row's first. Each but the last ends with eos.
void part_documents(std::span<const int32_t> targets, std::span<int32_t> segments, std::span<int32_t> decoder_inputs,
                    int32_t eos);

}  // namespace synthesizer
