#include "data/tokenizer.h"

#include <openssl/evp.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"

namespace synthesizer {
namespace {

// Texts above this are encoded in parts: SentencePiece takes some hundred bytes of memory for each of theirs.
constexpr size_t kLargestPart = 1 << 20;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

// Bytes of the first part of `text`: all of it if short, else up to and with the last white space within kLargestPart;
// where there is none, a word of so many bytes is no word, and it is cut between two characters.
size_t part_bytes(std::string_view text) {
  if (text.size() <= kLargestPart) return text.size();
  const auto limit = text.begin() + kLargestPart;
  const auto space = std::find_if(std::make_reverse_iterator(limit), text.rend(), is_space);
  if (space != text.rend()) return static_cast<size_t>(text.rend() - space);
  size_t bytes = kLargestPart;
  while (bytes > kLargestPart - 4 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return bytes;
}

}  // namespace

Tokenizer::Tokenizer(const std::filesystem::path& model)
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()),
      model_bytes_(read_input_file(model)),
      sha256_(sha256_hex(model_bytes_)) {
  // An empty file parses as a model of no pieces, and SentencePiece aborts on it.
  if (model_bytes_.empty() || !processor_->LoadFromSerializedProto(model_bytes_).ok() ||
      processor_->GetPieceSize() < 3) {
    fail_usage("{} is no SentencePiece model; make one with `synthesizer data vocab`", model.string());
  }
  if (processor_->pad_id() != Vocabulary::kPad || processor_->eos_id() < 0) {
    fail_usage(
        "tokenizer {}: got pad {} and eos {}, expected pad 0 and an eos, as T5 has them; "
        "`synthesizer data vocab` makes such models",
        model.string(), processor_->pad_id(), processor_->eos_id());
  }
  vocabulary_.pieces = processor_->GetPieceSize();
  vocabulary_.eos = processor_->eos_id();
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

void Tokenizer::encode(std::string_view text, std::vector<int32_t>& tokens) const {
  std::vector<int> ids;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, part_bytes(text));
    const auto status = processor_->Encode({part.data(), part.size()}, &ids);
    CHECK(status.ok(), "SentencePiece could not encode {} bytes: {}", part.size(), status.ToString());
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    text.remove_prefix(part.size());
  }
}

std::string Tokenizer::decode(std::span<const int32_t> pieces) const {
  for (const int32_t piece : pieces) {
    CHECK(piece > Vocabulary::kPad && piece < vocabulary_.pieces, "token {} is no piece, expected 1 to {}", piece,
          vocabulary_.pieces - 1);
  }
  std::string text;
  const auto status = processor_->Decode(std::vector<int>(pieces.begin(), pieces.end()), &text);
  CHECK(status.ok(), "SentencePiece could not decode {} pieces: {}", pieces.size(), status.ToString());
  return text;
}

std::string Tokenizer::to_text(std::span<const int32_t> tokens, const Vocabulary& vocabulary) const {
  const auto live_end = std::find_if(tokens.rbegin(), tokens.rend(), [](int32_t t) { return t != Vocabulary::kPad; });
  tokens = tokens.first(static_cast<size_t>(tokens.rend() - live_end));
  std::vector<std::string> parts;
  const auto special = [&](int32_t token) {
    return token <= Vocabulary::kPad || token == vocabulary.eos || token >= vocabulary_.pieces;
  };
  for (auto at = tokens.begin(); at != tokens.end();) {
    const auto end = std::find_if(at, tokens.end(), special);
    if (end != at) parts.push_back(decode({at, end}));
    if (end == tokens.end()) break;
    if (*end == vocabulary.eos) {
      parts.push_back("</s>");
    } else if (vocabulary.is_sentinel(*end)) {
      parts.push_back(fmt::format("<extra_id_{}>", vocabulary.size() - 1 - *end));
    } else {
      parts.push_back(*end == Vocabulary::kPad ? "<pad>" : fmt::format("<{}>", *end));
    }
    at = end + 1;
  }
  return fmt::format("{}", fmt::join(parts, " "));
}

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1,
        "OpenSSL could not take a SHA-256");
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) fmt::format_to(std::back_inserter(hex), "{:02x}", digest[i]);
  return hex;
}

}  // namespace synthesizer
