// The nearest known names to a mistyped one, for error messages.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace synthesizer {

// Up to `limit` of `known`, those with the smallest edit distance (insert, delete, replace, swap of neighbours) first;
// only names close enough to be meant: distance at most half the longer name, case ignored.
std::vector<std::string> nearest_names(std::string_view typed, std::span<const std::string> known, size_t limit = 3);

// "; did you mean a, b?" or, where nothing is near, "; known: a, b, c, …".
std::string nearest_hint(std::string_view typed, std::span<const std::string> known);

}  // namespace synthesizer
