// `synthesizer plan`: what a rank of a mesh will need for a run, exactly, on a machine that has none of it.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/nearest.h"
#include "launch/commands.h"
#include "launch/config/check.h"
#include "launch/config/device.h"
#include "launch/config/load.h"
#include "launch/plan/plan_print.h"
#include "launch/plan/plan_search.h"
#include "launch/plan/planning.h"

namespace synthesizer {
namespace {

struct PlanCommand {
  std::string config;
  std::vector<std::string> set;
  std::string mesh = "data=1,tensor=1";
  std::string device;
  int threads = 1;
  bool search = false;
  std::string ranks;
  int64_t batch_per_rank = 0;
  std::string svg;
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

constexpr int64_t kMostRanks = int64_t{1} << 20;
constexpr size_t kListed = 10;

// "1,8,64"
std::vector<int64_t> parse_ranks(const std::string& text) {
  std::vector<int64_t> ranks;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    int64_t count = 0;
    const auto [rest, error] = std::from_chars(text.data() + begin, text.data() + end, count);
    if (error != std::errc() || rest != text.data() + end || count < 1 || count > kMostRanks)
      fail_usage("--ranks {}: got '{}', expected numbers from 1 to {} with commas, as 1,8,64", text,
                 text.substr(begin, end - begin), kMostRanks);
    ranks.push_back(count);
    begin = end + 1;
  }
  return ranks;
}

int run_search(const PlanCommand& options) {
  if (options.ranks.empty()) fail_usage("--search: no --ranks, expected how many there are: --search --ranks 512");
  const std::vector<int64_t> all_ranks = parse_ranks(options.ranks);
  config::Run run = load_run(options.config, options.set);
  check_names(run);
  const DeviceRates device = device_for(load_device(options.device.empty() ? "h100" : options.device), run.precision());
  if (!options.svg.empty()) require_writable("--svg", std::filesystem::path(options.svg).parent_path());
  std::vector<Search> searches;
  for (const int64_t ranks : all_ranks) {
    if (const int64_t batch = options.batch_per_rank * ranks; batch > std::numeric_limits<int32_t>::max())
      fail_usage("--batch-per-rank {}: got a batch of {} for {} ranks, expected fewer", options.batch_per_rank, batch,
                 ranks);
    else if (batch > 0)
      run.mutable_data()->set_batch(static_cast<int32_t>(batch));
    searches.push_back(search_plans(run, ranks, device, options.threads, kListed));
    if (options.json)
      fmt::print("{}\n", search_json(searches.back(), device).dump());
    else
      print_search(searches.back(), device);
    std::fflush(stdout);
  }
  if (const std::filesystem::path folder = std::filesystem::path(options.svg).parent_path(); !folder.empty())
    std::filesystem::create_directories(folder);
  const std::string title =
      fmt::format("{}, {} on {}", options.config,
                  run.model().structure() == config::Model::DECODER ? run.model().decoder().attention()
                                                                    : run.model().encoder().attention(),
                  device.name);
  if (!options.svg.empty()) replace_text_file(options.svg, search_svg(searches, title));
  return 0;
}

int run_mesh(const PlanCommand& options) {
  const MeshShape shape = parse_mesh(options.mesh);
  std::vector<std::string> assignments = options.set;
  int64_t ranks = 1;
  for (const auto& [axis, size] : shape.axes) {
    assignments.push_back(fmt::format("parallel.mesh.{}={}", axis, size));
    ranks *= size;
  }
  if (ranks > kMostRanks) fail_usage("--mesh {}: got {} ranks, expected at most {}", options.mesh, ranks, kMostRanks);
  const config::Run run = load_run(options.config, assignments);
  check_names(run);
  check_values(run, static_cast<int>(ranks));
  std::optional<DeviceRates> device;
  if (!options.device.empty()) device = device_for(load_device(options.device), run.precision());
  const Planned planned = plan_run(run, shape, device, options.threads);
  const int64_t largest = device ? largest_batch(run, planned) : 0;
  if (options.json)
    fmt::print("{}\n", plan_json(planned, largest).dump());
  else
    print_plan(planned, largest);
  return 0;
}

int run_plan(const PlanCommand& options) {
  Session::require_alone("plan");
  return options.search ? run_search(options) : run_mesh(options);
}

}  // namespace

void add_plan_command(CommandLine& line) {
  const auto options = std::make_shared<PlanCommand>();
  CLI::App& app = line.add("plan", "What a rank will need: bytes, collectives, operations, time; nothing is started",
                           "synthesizer plan configs/models/large.txtpb --mesh data=64,tensor=8 --device h100 --set "
                           "model.vocab_size=32128 --set model.encoder.attention=R+V",
                           [options](Session&) { return run_plan(*options); });
  app.add_option("config", options->config, "Configuration of the run")->required();
  auto* mesh = app.add_option("--mesh", options->mesh, "Ranks of each axis of the mesh")->capture_default_str();
  app.add_option("--device", options->device, "Tell the time too, on h100, h200, a100, cpu or a device file");
  app.add_option("--threads", options->threads, "Threads a rank will have, each with workspace of its own")
      ->capture_default_str()
      ->check(at_least(1));
  app.add_option("--set", options->set, "Override a field: field.path=value")->take_all();
  auto* search =
      app.add_flag("--search", options->search,
                   "List the ten fastest meshes, ZeRO stages, recompute choices and micro-batches that fit, on "
                   "--device (h100)")
          ->excludes(mesh);
  app.add_option("--ranks", options->ranks, "With --search: how many ranks; several with commas")->needs(search);
  app.add_option("--batch-per-rank", options->batch_per_rank,
                 "With --search: data.batch is so many times the ranks; 0: as the configuration has it")
      ->needs(search)
      ->check(at_least(0));
  app.add_option("--svg", options->svg, "With --search: draw tokens a second by ranks")->needs(search);
  app.add_flag("--json", options->json, "Print a JSON object");
}

}  // namespace synthesizer
