// The `attention` string of a stack: which synthesizing functions a configuration may name ("V", "R+V", "D+R+V").
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace synthesizer {

// The parts of "R+V" in order, spaces dropped. Throws UsageError, with `where` in front, for names that are not known
// (with the nearest), names that this version has not, parts that appear twice and empty parts.
std::vector<std::string> attention_parts(std::string_view attention, std::string_view where);

}  // namespace synthesizer
