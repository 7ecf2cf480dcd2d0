#include "launch/marked_text.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/base/error.h"

namespace synthesizer {

namespace {

constexpr std::string_view kMark = "<extra_id_";

// Text up to the first sentinel, then each sentinel ("<extra_id_0>") with the text after it.
struct Cut {
  std::string_view before;
  std::vector<std::pair<std::string_view, std::string_view>> marks;
};

Cut cut_at_marks(std::string_view text) {
  Cut cut;
  size_t mark = std::min(text.find(kMark), text.size());
  cut.before = text.substr(0, mark);
  while (mark < text.size()) {
    const size_t close = std::min(text.find('>', mark), text.size() - 1) + 1;
    const size_t next = std::min(text.find(kMark, close), text.size());
    cut.marks.emplace_back(text.substr(mark, close - mark), text.substr(close, next - close));
    mark = next;
  }
  return cut;
}

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

int32_t sentinel_of(std::string_view mark, const Vocabulary& vocabulary) {
  const std::string_view digits = mark.substr(kMark.size(), mark.size() - kMark.size() - (mark.ends_with('>') ? 1 : 0));
  int32_t number = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole = error == std::errc() && end == digits.data() + digits.size() && mark.ends_with('>');
  if (!whole || number < 0 || number >= vocabulary.sentinels)
    fail_usage("'{}': no sentinel, expected <extra_id_0> to <extra_id_{}>", mark, vocabulary.sentinels - 1);
  return vocabulary.sentinel(number);
}

}  // namespace

std::vector<int32_t> encode_marked(std::string_view text, const Tokenizer& tokenizer, const Vocabulary& vocabulary) {
  const Cut cut = cut_at_marks(text);
  std::vector<int32_t> tokens;
  tokenizer.encode(cut.before, tokens);
  for (const auto& [mark, after] : cut.marks) {
    tokens.push_back(sentinel_of(mark, vocabulary));
    tokenizer.encode(after, tokens);
  }
  return tokens;
}

std::string fill_marked(std::string_view input, std::string_view output) {
  const Cut places = cut_at_marks(input);
  const Cut spans = cut_at_marks(output);
  std::string filled(places.before);
  for (const auto& [mark, after] : places.marks) {
    const auto span = std::find_if(spans.marks.begin(), spans.marks.end(),
                                   [&, mark = mark](const auto& s) { return s.first == mark; });
    filled += fmt::format("[{}]{}", span == spans.marks.end() ? "" : trim(span->second), after);
  }
  return filled;
}

}  // namespace synthesizer
