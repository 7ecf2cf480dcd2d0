// Text that a user gives, a line at a time: as lines, and as examples of a run's objective.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/train/batch_source.h"
#include "data/objective.h"
#include "data/tokenizer.h"

namespace synthesizer {

// The lines of --input, a file or - for stdin; blank ones too. UsageError for what cannot be read or is not UTF-8.
std::vector<std::string> read_lines(const std::string& input);

// Each line is a document: its tokens and eos, cut at the objective's length, become examples as a run's text does, the
// last of a line shorter than the others and padded. Batches of `batch` rows, one pass, filled up with rows of weight
// 0. UsageError where there is no text.
std::unique_ptr<BatchSource> line_examples(const std::vector<std::string>& lines, const Tokenizer& tokenizer,
                                           const Objective& objective, uint64_t seed, int64_t batch);

}  // namespace synthesizer
