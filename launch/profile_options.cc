#include "launch/profile_options.h"

#include <fmt/format.h>

#include <string>

#include "dist/plan.h"
#include "launch/machine.h"

namespace synthesizer {

ProfileOptions profile_options(int64_t steps, const Mesh& mesh, int rank, double peak_flops,
                               const KernelTable& kernels) {
  ProfileOptions options;
  options.steps = steps;
  options.title = fmt::format("rank {}", rank);
  std::string place;
  for (const auto& [axis, size] : mesh.shape().axes)
    if (size > 1) place += fmt::format("{}{} {}", place.empty() ? "" : ", ", axis, mesh.coordinate(axis));
  if (!place.empty()) options.title += fmt::format(" ({})", place);
  options.peak_flops = peak_flops;
  options.peak_bytes = memory_peak(kernels);
  options.traffic = [&mesh](const Graph& graph, const Node& node) {
    const CollectiveTotal total = collective_of(graph, node, mesh.shape());
    return NodeTraffic{total.axis, total.traffic.bytes};
  };
  return options;
}

}  // namespace synthesizer
