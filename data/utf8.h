// Well-formedness of UTF-8 (RFC 3629).
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace synthesizer {

// Offset of the first byte that is not part of well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF),
// or nothing where all is well.
std::optional<size_t> find_invalid_utf8(std::string_view bytes);

}  // namespace synthesizer
