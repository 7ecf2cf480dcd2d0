// The layout's text form, as configurations write it: "batch:data heads:tensor ff:tensor vocab:tensor".
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/graph/layout.h"

namespace synthesizer {

// Entries dim:axis, apart by white space; "" splits nothing. `dims` are the dimensions that may be mapped.
// Throws UsageError for a malformed entry, a dimension or axis that is not known (with the nearest that are), a
// dimension that is there twice.
Layout parse_layout(std::string_view text, const MeshShape& mesh, std::span<const std::string> dims);

// The text that parses to this layout, entries ordered by dimension.
std::string to_string(const Layout& layout);

}  // namespace synthesizer
