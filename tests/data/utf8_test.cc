#include "data/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace synthesizer {
namespace {

TEST(Utf8, TakesWhatIsWellFormed) {
  for (const char* text :
       {"", "plain", "naïve café", "日本語", "\xF0\x9F\x98\x80", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_FALSE(find_invalid_utf8(text).has_value()) << text;
  }
}

TEST(Utf8, FindsTheFirstBadByte) {
  const std::pair<std::string, size_t> cases[] = {
      {"abc\xFF", 3},                  // no first byte
      {"\x80", 0},                     // continuation alone
      {"0123456789ab\xC3", 12},        // cut off
      {"a\xC0\xAF", 1},                // overlong
      {"ab\xE0\x80\xAF", 2},           // overlong
      {"\xED\xA0\x80", 0},             // surrogate
      {"\xF4\x90\x80\x80", 0},         // above U+10FFFF
      {"caf\xC3\xA9 caf\xE9 caf", 9},  // Latin-1
      {"\xE6\x97\xA5\xE6\x97", 3},     // last one cut off
      {"12345678\xE6\x97\xA5"
       "1234567\xC3(",
       18},
  };
  for (const auto& [text, offset] : cases) EXPECT_EQ(find_invalid_utf8(text), offset) << text;
}

}  // namespace
}  // namespace synthesizer
