// `synthesizer bench data`: how fast a run's batches are made from its shards, by the loader that feeds training.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "launch/commands.h"
#include "launch/config/check.h"
#include "launch/config/load.h"
#include "launch/run_data.h"

namespace synthesizer {
namespace {

struct BenchData {
  std::string config;
  std::vector<std::string> set;
  int64_t batches = 500;
  bool json = false;
};

// More than the loader keeps ready: from here on a batch costs what making it costs.
constexpr int64_t kWarmUp = 16;

int bench_data(const BenchData& options, Session& session) {
  Session::require_alone("bench data");
  config::Run run;
  std::optional<RunData> data;
  session.together([&] {
    run = load_run(options.config, options.set);
    check_names(run);
    check_values(run, 1);
    check_objective(run);
    check_files(run);
    data.emplace(run);
  });
  const int64_t batch = run.data().batch();
  const std::unique_ptr<BatchSource> source = data->training({.begin = 0, .end = batch});
  std::chrono::steady_clock::time_point start;
  for (int64_t i = 0; i < kWarmUp + options.batches; ++i) {
    if (i == kWarmUp) start = std::chrono::steady_clock::now();
    source->next();
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Objective& objective = data->objective();
  const int64_t examples = options.batches * batch;
  const int64_t tokens = examples * (objective.input_length() + objective.target_length());
  const nlohmann::ordered_json result = {{"batch", batch},
                                         {"input_length", objective.input_length()},
                                         {"target_length", objective.target_length()},
                                         {"batches", options.batches},
                                         {"seconds", seconds},
                                         {"examples_per_second", static_cast<double>(examples) / seconds},
                                         {"tokens_per_second", static_cast<double>(tokens) / seconds}};
  if (options.json) {
    fmt::print("{}\n", result.dump());
  } else {
    for (const auto& [key, value] : result.items()) fmt::print("{:<20} {}\n", key, value.dump());
  }
  return 0;
}

}  // namespace

void add_bench_data_command(CommandLine& line) {
  const auto options = std::make_shared<BenchData>();
  CLI::App& app = line.add("bench data", "Time a run's batches alone: shards, noise, rows, by the loader of training",
                           "synthesizer bench data configs/runs/quickstart.txtpb --batches 1000 --json",
                           [options](Session& session) { return bench_data(*options, session); });
  app.add_option("config", options->config, "Configuration of the run")->required();
  app.add_option("--set", options->set, "Override a field: field.path=value")->take_all();
  app.add_option("--batches", options->batches, "Timed batches, after those that are ready at once")
      ->check(at_least(1))
      ->capture_default_str();
  app.add_flag("--json", options->json, "One line of JSON");
}

}  // namespace synthesizer
