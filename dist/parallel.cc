#include "dist/parallel.h"

#include <vector>

#include "core/graph/passes.h"
#include "dist/partition.h"

namespace synthesizer {

AxisCommunicators axis_communicators(const Mesh& mesh) {
  AxisCommunicators communicators;
  for (const auto& [axis, size] : mesh.shape().axes)
    if (size > 1) communicators[axis] = &mesh.axis(axis);
  return communicators;
}

std::function<std::unique_ptr<Graph>(const Graph&)> partition_for(const Mesh& mesh, const Layout& layout,
                                                                  PlacementsByName* placements, int64_t bucket_bytes) {
  std::vector<AxisIndex> axes;
  for (const auto& [axis, size] : mesh.shape().axes)
    if (size > 1) axes.push_back({axis, mesh.coordinate(axis), size});
  return [axes, layout, placements, bucket_bytes](const Graph& whole) {
    std::unique_ptr<Graph> graph;
    for (const AxisIndex& axis : axes)
      graph = eliminate_dead(*partition(graph ? *graph : whole, layout, axis, placements));
    return graph ? bucket_all_reduces(*graph, bucket_bytes) : eliminate_dead(whole);
  };
}

}  // namespace synthesizer
