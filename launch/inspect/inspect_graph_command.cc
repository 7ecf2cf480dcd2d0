// `synthesizer inspect graph`: a run's training step on one rank, as a table or for Graphviz.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/graph/report.h"
#include "launch/assembly.h"
#include "launch/commands.h"
#include "launch/config/check.h"
#include "launch/config/load.h"

namespace synthesizer {
namespace {

struct InspectGraph {
  std::string config;
  std::vector<std::string> set;
  int ranks = 1;
  int rank = 0;
  bool dot = false;
  bool json = false;
};

void print_json(const Graph& graph, const PlacementsByName& placements) {
  for (const NodeReport& node : report_nodes(graph, placements))
    fmt::print("{}\n", nlohmann::ordered_json{{"id", node.id},
                                              {"name", node.name},
                                              {"op", node.op},
                                              {"attributes", node.attributes},
                                              {"dims", node.dims},
                                              {"dtype", node.dtype},
                                              {"placement", node.placement},
                                              {"bytes", node.bytes},
                                              {"flops", node.flops}}
                           .dump());
}

int inspect_graph(const InspectGraph& options) {
  Session::require_alone("inspect graph");
  const config::Run run = load_run(options.config, options.set);
  if (options.rank >= options.ranks)
    fail_usage("--rank: got {}, expected less than --ranks {}", options.rank, options.ranks);
  check_names(run);
  check_values(run, options.ranks);
  const Mesh mesh = Mesh::fake(mesh_shape(run, options.ranks), options.rank);
  PlacementsByName placements;
  const std::unique_ptr<Graph> graph =
      training_graph(graph_options(run, planned_vocabulary(run), mesh), partition_of(run, mesh, &placements));
  if (options.dot)
    fmt::print("{}", graph_dot(*graph));
  else if (options.json)
    print_json(*graph, placements);
  else
    fmt::print("{}", graph_table(*graph, placements));
  return 0;
}

}  // namespace

void add_inspect_graph_command(CommandLine& line) {
  const auto options = std::make_shared<InspectGraph>();
  CLI::App& app = line.add(
      "inspect graph", "The training step of one rank: op, dims, dtype, bytes, flops, placement",
      "synthesizer inspect graph configs/models/tiny.txtpb --set model.vocab_size=32128 --set data.batch=8 --ranks 2",
      [options](Session&) { return inspect_graph(*options); });
  app.add_option("config", options->config, "Configuration of the run")->required();
  app.add_option("--set", options->set, "Override a field: field.path=value")->take_all();
  app.add_option("--ranks", options->ranks, "Ranks of the job that is looked at; none are started")
      ->check(at_least(1))
      ->capture_default_str();
  app.add_option("--rank", options->rank, "Which of them")->check(at_least(0))->capture_default_str();
  CLI::Option* dot = app.add_flag("--dot", options->dot, "Print the graph for Graphviz's dot");
  app.add_flag("--json", options->json, "Print one JSON object a node")->excludes(dot);
}

}  // namespace synthesizer
