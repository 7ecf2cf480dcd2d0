// `synthesizer plan`: what a rank of a mesh will need for a run, exactly, on a machine that has none of it.
#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "launch/commands.h"
#include "launch/config/check.h"
#include "launch/config/device.h"
#include "launch/config/load.h"
#include "launch/plan_print.h"
#include "launch/planning.h"

namespace synthesizer {
namespace {

struct PlanCommand {
  std::string config;
  std::vector<std::string> set;
  std::string mesh = "data=1,tensor=1";
  std::string device;
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
  std::optional<Device> device;
  if (!options.device.empty()) device = device_for(load_device(options.device), run.precision());
  const Planned planned = plan_run(run, shape, device);
  const int64_t largest = device ? largest_batch(run, planned) : 0;
  if (options.json)
    fmt::print("{}\n", plan_json(planned, largest).dump());
  else
    print_plan(planned, largest);
  return 0;
}

}  // namespace

void add_plan_command(CommandLine& line) {
  const auto options = std::make_shared<PlanCommand>();
  CLI::App& app = line.add("plan", "What a rank will need: bytes, collectives, operations, time; nothing is started",
                           "synthesizer plan configs/models/large.txtpb --mesh data=64,tensor=8 --device h100 --set "
                           "model.vocab_size=32128 --set model.encoder.attention=R+V",
                           [options](Session&) { return run_plan(*options); });
  app.add_option("config", options->config, "Configuration of the run")->required();
  app.add_option("--mesh", options->mesh, "Ranks of each axis of the mesh")->capture_default_str();
  app.add_option("--device", options->device, "Tell the time too, on h100, h200, a100, cpu or a device file");
  app.add_option("--set", options->set, "Override a field: field.path=value")->take_all();
  app.add_flag("--json", options->json, "Print a JSON object");
}

}  // namespace synthesizer
