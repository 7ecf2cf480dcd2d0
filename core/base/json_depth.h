// A bound on JSON that others wrote, before it is parsed: nlohmann's copies, comparisons and dump recurse once a level,
// so that a file of brackets would overflow the stack.
#pragma once

#include <string_view>

namespace synthesizer {

inline constexpr int kDeepestJson = 64;

// Throws UsageError "{where}: …" if brackets and braces of `text` are nested deeper than kDeepestJson. Whether it is
// JSON at all is the parser's to say.
void check_json_depth(std::string_view text, std::string_view where);

}  // namespace synthesizer
