// The mesh's shape and the layout, as plain data: what partition, plan and the graph need to know of parallelism.
// The mesh with its communicators, and the layout's text form, are in dist.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace synthesizer {

// The axes that ranks are arranged in, in order; the last one varies fastest with the rank.
struct MeshShape {
  std::vector<std::pair<std::string, int>> axes;

  // 1 for an axis that the mesh has not.
  int size(std::string_view axis) const {
    for (const auto& [name, size] : axes)
      if (name == axis) return size;
    return 1;
  }
  // All ranks.
  int size() const {
    int ranks = 1;
    for (const auto& [name, size] : axes) ranks *= size;
    return ranks;
  }
  bool operator==(const MeshShape&) const = default;
};

// Which mesh axis a dimension is split over. Dimensions that are not in the map are whole on every rank.
struct Layout {
  std::map<std::string, std::string, std::less<>> axis_of_dim;

  // The axis that `dim` is split over, or "".
  std::string_view axis(std::string_view dim) const {
    const auto found = axis_of_dim.find(dim);
    return found == axis_of_dim.end() ? std::string_view() : std::string_view(found->second);
  }
  bool operator==(const Layout&) const = default;
};

}  // namespace synthesizer
