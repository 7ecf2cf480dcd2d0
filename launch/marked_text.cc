#include "launch/marked_text.h"

#include <charconv>

#include "core/base/error.h"

namespace synthesizer {

std::vector<int32_t> encode_marked(std::string_view text, const Tokenizer& tokenizer, const Vocabulary& vocabulary) {
  constexpr std::string_view kMark = "<extra_id_";
  std::vector<int32_t> tokens;
  while (!text.empty()) {
    const size_t mark = std::min(text.find(kMark), text.size());
    if (mark > 0) tokenizer.encode(text.substr(0, mark), tokens);
    text.remove_prefix(mark);
    if (text.empty()) break;
    int32_t number = 0;
    const char* begin = text.data() + kMark.size();
    const auto [end, error] = std::from_chars(begin, text.data() + text.size(), number);
    const bool closed = error == std::errc() && end != text.data() + text.size() && *end == '>';
    if (!closed || number < 0 || number >= vocabulary.sentinels)
      fail_usage("'{}': no sentinel, expected <extra_id_0> to <extra_id_{}>", text.substr(0, text.find('>') + 1),
                 vocabulary.sentinels - 1);
    tokens.push_back(vocabulary.sentinel(number));
    text.remove_prefix(static_cast<size_t>(end + 1 - text.data()));
  }
  return tokens;
}

}  // namespace synthesizer
