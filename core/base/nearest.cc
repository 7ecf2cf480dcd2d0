#include "core/base/nearest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <utility>

namespace synthesizer {
namespace {

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// Optimal string alignment distance (Damerau-Levenshtein without repeated edits of one substring).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = d[i - 1][j - 1] + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replace});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view typed, std::span<const std::string> known, size_t limit) {
  std::vector<std::pair<size_t, std::string>> near;
  for (const std::string& name : known) {
    // The distance is no less than the difference of lengths; a whole file typed as a name costs nothing.
    const auto [shorter, longer] = std::minmax({typed.size(), name.size()});
    if (2 * (longer - shorter) > longer) continue;
    const size_t distance = edit_distance(typed, name);
    if (2 * distance <= std::max(typed.size(), name.size())) near.emplace_back(distance, name);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> names;
  for (size_t i = 0; i < near.size() && i < limit; ++i) names.push_back(near[i].second);
  return names;
}

std::string nearest_hint(std::string_view typed, std::span<const std::string> known) {
  const std::vector<std::string> near = nearest_names(typed, known);
  if (!near.empty()) return fmt::format("; did you mean {}?", fmt::join(near, ", "));
  return fmt::format("; known: {}", fmt::join(known, ", "));
}

}  // namespace synthesizer
