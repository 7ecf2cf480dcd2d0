#include "dist/layout.h"

#include <algorithm>
#include <sstream>
#include <vector>

#include "core/base/error.h"
#include "core/base/nearest.h"

namespace synthesizer {

Layout parse_layout(std::string_view text, const MeshShape& mesh, std::span<const std::string> dims) {
  std::vector<std::string> axes;
  for (const auto& [name, size] : mesh.axes) axes.push_back(name);
  Layout layout;
  std::istringstream entries{std::string(text)};
  for (std::string entry; entries >> entry;) {
    const size_t colon = entry.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == entry.size() ||
        entry.find(':', colon + 1) != entry.npos)
      fail_usage("layout: got entry '{}', expected dimension:axis, as in \"batch:data heads:tensor\"", entry);
    const std::string dim = entry.substr(0, colon), axis = entry.substr(colon + 1);
    if (std::find(dims.begin(), dims.end(), dim) == dims.end())
      fail_usage("layout: no dimension '{}' can be split, in entry '{}'{}", dim, entry, nearest_hint(dim, dims));
    if (std::find(axes.begin(), axes.end(), axis) == axes.end())
      fail_usage("layout: no mesh axis '{}', in entry '{}'{}", axis, entry, nearest_hint(axis, axes));
    if (const auto [known, added] = layout.axis_of_dim.emplace(dim, axis); !added)
      fail_usage("layout: dimension '{}' is there twice, as '{}:{}' and '{}'", dim, dim, known->second, entry);
  }
  return layout;
}

std::string to_string(const Layout& layout) {
  std::string text;
  for (const auto& [dim, axis] : layout.axis_of_dim) text += fmt::format("{}{}:{}", text.empty() ? "" : " ", dim, axis);
  return text;
}

}  // namespace synthesizer
