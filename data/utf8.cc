#include "data/utf8.h"

#include <cstdint>
#include <cstring>

namespace synthesizer {
namespace {

struct Sequence {
  int continuation = -1;  // bytes that follow; -1: not a first byte
  uint8_t low = 0x80;     // range of the second byte, which rules out overlong forms, surrogates and what is too large
  uint8_t high = 0xBF;
};

Sequence sequence_of(uint8_t first) {
  if (first < 0x80) return {0};
  if (first < 0xC2) return {};
  if (first < 0xE0) return {1};
  if (first == 0xE0) return {2, 0xA0, 0xBF};
  if (first == 0xED) return {2, 0x80, 0x9F};
  if (first < 0xF0) return {2};
  if (first == 0xF0) return {3, 0x90, 0xBF};
  if (first < 0xF4) return {3};
  if (first == 0xF4) return {3, 0x80, 0x8F};
  return {};
}

}  // namespace

std::optional<size_t> find_invalid_utf8(std::string_view bytes) {
  const size_t size = bytes.size();
  size_t at = 0;
  while (at < size) {
    // Eight ASCII bytes at a time: most text.
    uint64_t word;
    if (at + sizeof(word) <= size) {
      std::memcpy(&word, bytes.data() + at, sizeof(word));
      if ((word & 0x8080808080808080u) == 0) {
        at += sizeof(word);
        continue;
      }
    }
    const Sequence sequence = sequence_of(static_cast<uint8_t>(bytes[at]));
    if (sequence.continuation < 0) return at;
    for (int i = 1; i <= sequence.continuation; ++i) {
      if (at + static_cast<size_t>(i) >= size) return at;
      const auto byte = static_cast<uint8_t>(bytes[at + static_cast<size_t>(i)]);
      const uint8_t low = i == 1 ? sequence.low : 0x80;
      const uint8_t high = i == 1 ? sequence.high : 0xBF;
      if (byte < low || byte > high) return at;
    }
    at += static_cast<size_t>(sequence.continuation) + 1;
  }
  return std::nullopt;
}

}  // namespace synthesizer
