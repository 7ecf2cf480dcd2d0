// Text to pieces and back: SentencePiece (Kudo and Richardson, EMNLP 2018) behind a const, thread-safe interface that
// prints nothing. Sentinels and padding of the vocabulary are left to data/vocabulary.h, training to
// data/train_vocabulary.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/vocabulary.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace synthesizer {

class Tokenizer {
 public:
  // UsageError where the file is missing, is no SentencePiece model, or has no pad 0 or no eos.
  explicit Tokenizer(const std::filesystem::path& model);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Appends the pieces of `text` (UTF-8), without eos. Long texts are encoded in parts cut at white space, which no
  // piece crosses, so that memory stays bounded; a mebibyte without any is cut between two characters.
  void encode(std::string_view text, std::vector<int32_t>& tokens) const;
  // Pieces only: sentinels, pad and ids above are an Error.
  std::string decode(std::span<const int32_t> pieces) const;
  // What a model sees, readable: pieces as text, "<extra_id_0>", ..., "</s>"; padding at the end is left out.
  std::string to_text(std::span<const int32_t> tokens, const Vocabulary& vocabulary) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const std::string& sha256() const { return sha256_; }            // of the model file, 64 hexadecimal digits
  const std::string& model_bytes() const { return model_bytes_; }  // the file

 private:
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  std::string model_bytes_;
  std::string sha256_;
  Vocabulary vocabulary_;
};

// SHA-256 (FIPS 180-4) in hexadecimal.
std::string sha256_hex(std::string_view bytes);

}  // namespace synthesizer
