#include "dist/parallel.h"

#include <vector>

#include "core/graph/passes.h"
#include "dist/update_parts.h"

namespace synthesizer {

AxisCommunicators axis_communicators(const Mesh& mesh) {
  AxisCommunicators communicators;
  for (const auto& [axis, size] : mesh.shape().axes)
    if (size > 1) communicators[axis] = &mesh.axis(axis);
  return communicators;
}

std::function<std::unique_ptr<Graph>(const Graph&)> partition_for(const Mesh& mesh, const Layout& layout,
                                                                  const PartitionOptions& options) {
  std::vector<AxisIndex> axes;
  for (const auto& [axis, size] : mesh.shape().axes)
    if (size > 1) axes.push_back({axis, mesh.coordinate(axis), size});
  return [axes, layout, options](const Graph& whole) {
    std::unique_ptr<Graph> graph;
    if (options.update.leaves > 0) graph = sum_in_parts(whole, layout, options.update.leaves);
    for (const AxisIndex& axis : axes) {
      const UpdateSharding update = layout.axis("batch") == axis.axis ? options.update : UpdateSharding{};
      graph = eliminate_dead(*partition(graph ? *graph : whole, layout, axis, options.placements, update));
    }
    if (axes.empty()) return eliminate_dead(graph ? *graph : whole);
    return bucket_all_reduces(*graph, options.bucket_bytes);
  };
}

}  // namespace synthesizer
