#include "launch/config/attention_string.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/base/nearest.h"

namespace synthesizer {
namespace {

constexpr std::array kFunctions = {"V", "R", "Fix", "FR", "D", "FD"};
// The paper's others and its baselines.
constexpr std::array kNotYet = {"Conv", "Bottleneck", "ConvBottleneck", "GLU", "LightConv", "DynConv", "Linformer"};

bool contains(const auto& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::vector<std::string> attention_parts(std::string_view attention, std::string_view where) {
  std::string text(attention);
  std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0; });
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == '+')
      parts.emplace_back();
    else
      parts.back().push_back(c);
  }
  const std::vector<std::string> known(kFunctions.begin(), kFunctions.end());
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part.empty()) fail_usage("{}: got '{}', expected names joined by '+', as in R+V", where, attention);
    if (contains(kNotYet, part))
      fail_usage("{}: got '{}': {} is not in this version, which has V, R, Fix, FR, D, FD", where, attention, part);
    if (!contains(kFunctions, part))
      fail_usage("{}: unknown attention function '{}' in '{}'{}", where, part, attention, nearest_hint(part, known));
    if (std::find(parts.begin(), parts.begin() + static_cast<long>(i), part) != parts.begin() + static_cast<long>(i))
      fail_usage("{}: got '{}': {} appears twice, expected each part once", where, attention, part);
  }
  return parts;
}

}  // namespace synthesizer
