// `synthesizer eval`: the validation loss of a checkpoint.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/checkpoint/state_slices.h"
#include "core/graph/agreement.h"
#include "core/train/evaluation.h"
#include "dist/parallel.h"
#include "launch/assembly.h"
#include "launch/commands.h"
#include "launch/config/check.h"
#include "launch/config/load.h"
#include "launch/facts.h"
#include "launch/rank_kernels.h"
#include "launch/run_record.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

struct EvalCommand {
  std::string config;
  std::vector<std::string> set;
  std::string checkpoint;
  bool json = false;
};

// The checkpoint asked for, or the newest whole one of the configuration's run.
fs::path find_checkpoint(const EvalCommand& options, Communicator& world) {
  if (!options.checkpoint.empty()) return options.checkpoint;
  const fs::path folder = default_run_folder(options.config) / "checkpoints";
  const NewestCheckpoint newest = find_newest_checkpoint(folder, world);
  if (!newest.folder) fail_usage("{}: no checkpoint there. Train first, or give --checkpoint", folder.string());
  return *newest.folder;
}

void print(const fs::path& checkpoint, int64_t step, const EvaluationResult& result, bool json) {
  if (json) {
    nlohmann::ordered_json line = {{"checkpoint", checkpoint.string()}, {"step", step}};
    for (const auto& [name, value] : named_values(result)) line[name] = value;
    fmt::print("{}\n", line.dump());
    return;
  }
  fmt::print("{} (step {})\n", checkpoint.string(), step);
  for (const auto& [name, value] : named_values(result)) fmt::print("  {:<24} {:.9g}\n", name, value);
}

int evaluate(const EvalCommand& options, Session& session) {
  config::Run run;
  session.together([&] { run = load_run(options.config, options.set); });
  Facts facts = run_facts("eval", run);
  facts.emplace_back("--checkpoint", options.checkpoint);
  session.require_same(facts);
  session.together([&] {
    check_names(run);
    check_values(run, Session::launched_size());
    check_objective(run);
  });
  Communicator& world = session.world();
  std::optional<RunData> data;
  std::optional<CheckpointReader> reader;
  fs::path checkpoint;
  run_together(world, [&] {
    as_input([&] {
      check_files(run);
      data.emplace(run);
    });
  });
  checkpoint = find_checkpoint(options, world);
  run_together(world, [&] { as_input([&] { reader.emplace(checkpoint); }); });
  reader->verify(world);

  const Mesh mesh(mesh_shape(run, world.size()), world);
  const RankKernels kernels(run, session.threads(), session.rank_on_host());
  const StepGraphOptions graphs = graph_options(run, data->objective().vocabulary(), mesh);
  const BatchRows rows = batch_rows(run, mesh);
  const Vocabulary& vocabulary = data->objective().vocabulary();
  std::unique_ptr<Graph> graph = evaluation_graph(graphs, partition_of(run, mesh));
  StateStore state(*graph, kernels.table().device());
  run_together(world, [&] { read_state(*reader, state, CheckpointPart::kModel); });
  Evaluation evaluation(std::move(graph), kernels.table(), kernels.communicators(mesh), state,
                        data->validation(rows, run.eval().batches()), row_ranks(run, mesh),
                        {vocabulary.pieces, vocabulary.size(), first_row(run, mesh)});
  const EvaluationResult result = evaluation.run();
  if (world.rank() == 0) print(checkpoint, reader->state().step, result, options.json);
  return 0;
}

}  // namespace

void add_eval_command(CommandLine& line) {
  const auto options = std::make_shared<EvalCommand>();
  CLI::App& app = line.add("eval", "Validation loss of a checkpoint",
                           "synthesizer eval configs/runs/quickstart.txtpb --set eval.batches=0",
                           [options](Session& session) { return evaluate(*options, session); });
  app.add_option("config", options->config, "Configuration of the run")->required();
  app.add_option("--checkpoint", options->checkpoint,
                 "Folder of the checkpoint; by default the newest of runs/<configuration's name>");
  app.add_option("--set", options->set, "Override a field: field.path=value")->take_all();
  app.add_flag("--json", options->json, "Print the result as a line of JSON");
}

}  // namespace synthesizer
