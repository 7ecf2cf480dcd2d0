// `data vocab`: a SentencePiece model from text, with T5's settings: unigram, pad 0, eos 1, unk 2, no bos.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/document_source.h"

namespace synthesizer {

struct VocabularyOptions {
  std::vector<std::string> inputs;  // patterns
  int32_t size = 32000;             // pieces, the three special ones included
  std::filesystem::path output;
  SourceOptions source;
  int64_t max_sentences = 500'000;  // a uniform sample of this many lines, so that memory does not grow with the input
  uint64_t seed = 1;                // of the sample
};

struct VocabularyReport {
  int32_t pieces = 0;
  int64_t documents = 0;
  int64_t sentences = 0;  // lines seen
  int64_t sampled = 0;    // lines trained on
  std::string sha256;
};

// Called with what is being done and the documents read so far.
using VocabularyProgress = std::function<void(std::string_view stage, int64_t documents)>;

// Equal input gives equal bytes on any machine. Written to a temporary name, synced, renamed. UsageError: wrong input
// (data/document_source.h), no text, a size the text is too small for.
VocabularyReport train_vocabulary(const VocabularyOptions& options, const VocabularyProgress& progress = {});

}  // namespace synthesizer
