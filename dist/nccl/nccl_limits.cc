#include "dist/nccl/nccl_limits.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "core/base/error.h"

namespace synthesizer {

NcclLimits nccl_limits() {
  constexpr const char* kVariable = "SYNTHESIZER_NCCL_TIMEOUT";
  constexpr double kMost = 1e9;  // of seconds: more are no number of milliseconds
  const char* const value = std::getenv(kVariable);
  if (value == nullptr) return {};
  const std::string_view text = value;
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || !(seconds > 0 && seconds < kMost))
    fail("[nccl] {}: got '{}', expected seconds, more than 0", kVariable, text);
  const auto limit = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(seconds));
  return {limit, limit};
}

}  // namespace synthesizer
