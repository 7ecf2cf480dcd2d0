#include "core/base/json_depth.h"

#include "core/base/error.h"

namespace synthesizer {

void check_json_depth(std::string_view text, std::string_view where) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepestJson)
        fail_usage("{}: brackets are nested deeper than {} at byte {}; it is torn or altered", where, kDeepestJson, i);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

}  // namespace synthesizer
