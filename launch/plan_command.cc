// `synthesizer plan`: what a rank of a mesh will need for a run, exactly, on a machine that has none of it.
#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/graph/report.h"
#include "dist/parallel.h"
#include "dist/plan.h"
#include "launch/assembly.h"
#include "launch/commands.h"
#include "launch/config/check.h"
#include "launch/config/load.h"

namespace synthesizer {
namespace {

using Json = nlohmann::ordered_json;

struct PlanCommand {
  std::string config;
  std::vector<std::string> set;
  std::string mesh = "data=1,tensor=1";
  bool json = false;
};

const std::vector<std::string> kAxes = {"data", "tensor"};

// "data=64,tensor=8"; an axis that is not named has one rank.
MeshShape parse_mesh(const std::string& text) {
  MeshShape shape{{{"data", 1}, {"tensor", 1}}};
  std::vector<std::string> seen;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string entry = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    const auto axis =
        std::find_if(shape.axes.begin(), shape.axes.end(), [&](const auto& a) { return a.first == name; });
    if (axis == shape.axes.end())
      fail_usage("--mesh {}: no axis '{}', expected axis=ranks as in data=64,tensor=8{}", text, name,
                 nearest_hint(name, kAxes));
    if (std::find(seen.begin(), seen.end(), name) != seen.end())
      fail_usage("--mesh {}: {} is there twice, expected each axis once", text, name);
    seen.push_back(name);
    const char *from = entry.data() + std::min(equals, entry.size() - 1) + 1, *to = entry.data() + entry.size();
    const auto [rest, error] = std::from_chars(from, to, axis->second);
    if (equals == std::string::npos || error != std::errc() || rest != to || axis->second < 1 || axis->second > 1 << 20)
      fail_usage("--mesh {}: got '{}', expected {}=RANKS, RANKS from 1 to {}", text, entry, name, 1 << 20);
  }
  return shape;
}

// Everything that is printed.
struct Planned {
  MeshShape mesh;
  int64_t ranks = 1;
  int64_t batch = 0;       // rows of all ranks
  int64_t rows = 0;        // of one
  int64_t parameters = 0;  // of the whole model
  int64_t tokens = 0;      // of the global batch
  StepPlan step;
  int64_t evaluation = 0;  // bytes of evaluation's own arena
  int64_t product_flops = 0;
  int64_t recomputed_flops = 0;

  int64_t bytes() const { return step.state() + step.arena + evaluation; }
};

Planned plan(const config::Run& run, const MeshShape& shape) {
  const Mesh mesh = Mesh::fake(shape, 0);
  const StepGraphOptions graphs = graph_options(run, planned_vocabulary(run), mesh);
  const Partition partition = partition_of(run, mesh);
  const CpuKernelTable kernels = kernels_of(run, 1);
  Planned planned;
  planned.mesh = shape;
  for (const auto& [axis, size] : shape.axes) planned.ranks *= size;
  planned.batch = run.data().batch();
  planned.rows = batch_rows(run, mesh).count();
  const StepGraphs step = training_graphs(graphs, partition);
  planned.parameters = count_parameters(step.update());
  planned.tokens = run.data().batch() * (run.data().input_length() + run.data().target_length());
  planned.step = plan_step(step, kernels, shape);
  for (const size_t graph : step.order) {
    planned.product_flops += product_flops(*step.graphs[graph]);
    planned.recomputed_flops += recomputed_flops(*step.graphs[graph]);
  }
  planned.evaluation = plan_step(*evaluation_graph(graphs, partition), kernels, shape).arena;
  return planned;
}

Json to_json(const Planned& p) {
  Json mesh, flops, collectives = Json::array();
  for (const auto& [axis, size] : p.mesh.axes) mesh[axis] = size;
  for (const CollectiveTotal& total : p.step.collectives)
    collectives.push_back({{"kind", to_string(total.kind)},
                           {"axis", total.axis},
                           {"ranks", total.ranks},
                           {"calls", total.traffic.calls},
                           {"bytes_sent", total.traffic.bytes}});
  for (const auto& [op, count] : p.step.flops) flops[op] = count;
  return {{"mesh", mesh},
          {"ranks", p.ranks},
          {"parameters", p.parameters},
          {"batch", p.batch},
          {"rows", p.rows},
          {"tokens", p.tokens},
          {"bytes",
           {{"parameters", p.step.parameters},
            {"fixed", p.step.fixed},
            {"optimizer", p.step.optimizer},
            {"sums", p.step.sums},
            {"step", p.step.arena},
            {"evaluation", p.evaluation},
            {"all", p.bytes()}}},
          {"peak",
           {{"op", p.step.peak.op},
            {"node", p.step.peak.node},
            {"gradients", p.step.peak.gradients},
            {"activations", p.step.peak.activations},
            {"inputs", p.step.peak.inputs},
            {"workspace", p.step.peak.workspace}}},
          {"collectives", collectives},
          {"flops", flops},
          {"product_flops", p.product_flops},
          {"recomputed_flops", p.recomputed_flops}};
}

void print_memory(const Planned& p) {
  const ArenaPeak& peak = p.step.peak;
  const auto line = [](std::string_view what, int64_t bytes) { fmt::print("  {:<26} {:>18}\n", what, bytes); };
  fmt::print("bytes of a rank\n");
  line("parameters", p.step.parameters);
  line("fixed matrices", p.step.fixed);
  line("optimizer", p.step.optimizer);
  line("sums over micro-batches", p.step.sums);
  line("step", p.step.arena);
  fmt::print("    at its peak, in {} {}:\n", peak.op, peak.node);
  line("    gradients", peak.gradients);
  line("    activations", peak.activations);
  line("    inputs", peak.inputs);
  line("    workspace", peak.workspace);
  line("evaluation", p.evaluation);
  line("all", p.bytes());
  fmt::print("  (what libraries take for themselves - code, threads, MPI's buffers - is not in it)\n");
}

void print(const Planned& p) {
  std::string mesh;
  for (const auto& [axis, size] : p.mesh.axes) mesh += fmt::format(" {}={}", axis, size);
  fmt::print("mesh{}: {} rank(s), {} of {} rows a rank, {} parameters\n", mesh, p.ranks, p.rows, p.batch, p.parameters);
  print_memory(p);
  fmt::print("collectives of a step          calls  bytes sent by a rank\n");
  for (const CollectiveTotal& total : p.step.collectives)
    fmt::print("  {:<14} {:<12} {:>6}  {:>20}\n", to_string(total.kind),
               fmt::format("{} ({})", total.axis, total.ranks), total.traffic.calls, total.traffic.bytes);
  if (p.step.collectives.empty()) fmt::print("  none\n");
  fmt::print("operations of a step, of a rank\n");
  int64_t all = 0;
  for (const auto& [op, flops] : p.step.flops) {
    fmt::print("  {:<26} {:>18}\n", op, flops);
    all += flops;
  }
  fmt::print("  {:<26} {:>18}\n", "all", all);
  fmt::print("  {:<26} {:>18}\n", "of matrix products' ops", p.product_flops);
  if (p.recomputed_flops > 0) fmt::print("  {:<26} {:>18}\n", "done a second time", p.recomputed_flops);
  fmt::print("{} tokens a step\n", p.tokens);
}

int run_plan(const PlanCommand& options) {
  Session::require_alone("plan");
  const MeshShape shape = parse_mesh(options.mesh);
  std::vector<std::string> assignments = options.set;
  int64_t ranks = 1;
  for (const auto& [axis, size] : shape.axes) {
    assignments.push_back(fmt::format("parallel.mesh.{}={}", axis, size));
    ranks *= size;
  }
  if (ranks > 1 << 20) fail_usage("--mesh {}: got {} ranks, expected at most {}", options.mesh, ranks, 1 << 20);
  const config::Run run = load_run(options.config, assignments);
  check_names(run);
  check_values(run, static_cast<int>(ranks));
  const Planned planned = plan(run, shape);
  if (options.json)
    fmt::print("{}\n", to_json(planned).dump());
  else
    print(planned);
  return 0;
}

}  // namespace

void add_plan_command(CommandLine& line) {
  const auto options = std::make_shared<PlanCommand>();
  CLI::App& app = line.add("plan", "What a rank will need: bytes, collectives, operations; nothing is started",
                           "synthesizer plan configs/models/large.txtpb --mesh data=64,tensor=8 --set "
                           "model.vocab_size=32128 --set model.encoder.attention=R+V",
                           [options](Session&) { return run_plan(*options); });
  app.add_option("config", options->config, "Configuration of the run")->required();
  app.add_option("--mesh", options->mesh, "Ranks of each axis of the mesh")->capture_default_str();
  app.add_option("--set", options->set, "Override a field: field.path=value")->take_all();
  app.add_flag("--json", options->json, "Print a JSON object");
}

}  // namespace synthesizer
