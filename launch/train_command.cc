// `synthesizer train`: starts a run or goes on with it. Everything that can be wrong is found before the run's folder
// is touched.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/checkpoint/folder.h"
#include "core/checkpoint/state_slices.h"
#include "core/graph/agreement.h"
#include "core/graph/report.h"
#include "core/optim/schedule.h"
#include "core/train/trainer.h"
#include "dist/parallel.h"
#include "launch/assembly.h"
#include "launch/commands.h"
#include "launch/config/check.h"
#include "launch/config/convert.h"
#include "launch/config/load.h"
#include "launch/config/resume.h"
#include "launch/config/text.h"
#include "launch/facts.h"
#include "launch/machine.h"
#include "launch/profile_options.h"
#include "launch/rank_kernels.h"
#include "launch/run_record.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

constexpr int kExitStopped = 75;  // schedulers start the same command again

struct TrainCommand {
  std::string config;
  std::vector<std::string> set;
  std::string run;
  std::optional<int64_t> steps;
  std::string init_from;
  std::optional<int64_t> profile;  // steps
  bool show = false;
};

config::Run load(const TrainCommand& options) {
  std::vector<std::string> assignments = options.set;
  if (options.steps) assignments.push_back(fmt::format("steps={}", *options.steps));
  return load_run(options.config, assignments);
}

fs::path run_folder(const TrainCommand& options) {
  return options.run.empty() ? default_run_folder(options.config) : fs::path(options.run);
}

TrainerOptions trainer_options(const config::Run& run, const std::string& record, const Objective& objective) {
  TrainerOptions options;
  options.steps = run.steps();
  options.log_every = run.log().every();
  options.eval_every = run.eval().every();
  options.checkpoint_every = run.checkpoint().every();
  options.keep = run.checkpoint().keep();
  options.milestone_every = run.checkpoint().milestone();
  options.skip_nonfinite = run.on_nonfinite() == config::Run::SKIP;
  options.learning_rate = [schedule = schedule_config(run)](int64_t step) { return learning_rate(schedule, step); };
  options.seed = run.seed();
  options.program_version = SYNTHESIZER_VERSION;
  options.config = record;
  options.tokens_per_step = run.data().batch() * (objective.input_length() + objective.target_length());
  return options;
}

// Parameters of another run's checkpoint, of the same model; the optimizer starts afresh. Collective.
void initialize_from(const fs::path& checkpoint, StateStore& state, Communicator& world) {
  std::optional<CheckpointReader> reader;
  run_together(world, [&] { as_input([&] { reader.emplace(checkpoint); }); });
  reader->verify(world);
  run_together(world, [&] { read_state(*reader, state, CheckpointPart::kModel); });
}

// The run on this rank, its parts in the order they need each other.
class Job {
 public:
  Job(const TrainCommand& options, const config::Run& run, Session& session)
      : options_(options),
        run_(run),
        world_(session.world()),
        kernels_(run, session.threads(), session.rank_on_host()),
        mesh_(mesh_shape(run, world_.size()), world_) {}

  int train() {
    run_together(world_, [&] { as_input([&] { prepare(); }); });
    communicators_ = kernels_.communicators(mesh_);
    run_together(world_, [&] { as_input([&] { build(); }); });
    check_profile();
    const std::string record = run_record(run_, *data_);
    step_->state().initialize(run_.seed());
    if (!options_.init_from.empty()) initialize_from(options_.init_from, step_->state(), world_);
    const RunFolder folder(run_folder(options_), record, check_record, world_);
    SignalHandlers signals;
    Trainer trainer(finish_options(record), *step_, *source_, &*evaluation_, folder, world_, signals);
    const bool going_on = trainer.resume();
    if (options_.profile) require_profiled_steps(*options_.profile, run_.steps() - trainer.step());
    if (going_on && trainer.step() >= run_.steps()) {
      if (world_.rank() == 0)
        fmt::print(stderr, "{}: the run has its {} steps already. Train longer by --steps\n", folder.path().string(),
                   trainer.step());
      return 0;
    }
    say_what(folder, trainer.step());
    const TrainEnd end = run(trainer);
    if (world_.rank() == 0) fmt::print("{}\n", folder.path().string());
    return end == TrainEnd::kStopped ? kExitStopped : 0;
  }

 private:
  // From here on the run is under way: input that turns out wrong, as shards that someone alters, ends it as a failure.
  static TrainEnd run(Trainer& trainer) {
    try {
      return trainer.run();
    } catch (const UsageError& error) {
      throw Error(error.what());
    }
  }

  // Everything that can be refused without the run's folder; no collectives.
  void prepare() {
    check_files(run_);
    require_writable("--run", run_folder(options_));
    data_.emplace(run_);
    graphs_ = graph_options(run_, data_->objective().vocabulary(), mesh_);
    check_model(graphs_.model);
  }

  void build() {
    const Partition partition = partition_of(run_, mesh_);
    const BatchRows rows = batch_rows(run_, mesh_);
    step_ = std::make_unique<TrainStep>(training_graphs(graphs_, partition), graphs_.optimizer, kernels_.table(),
                                        communicators_);
    const Vocabulary& vocabulary = data_->objective().vocabulary();
    evaluation_.emplace(evaluation_graph(graphs_, partition), kernels_.table(), communicators_, step_->state(),
                        data_->validation(rows, run_.eval().batches()), row_ranks(run_, mesh_),
                        EvaluationOptions{vocabulary.pieces, vocabulary.size(), first_row(run_, mesh_)});
    source_ = data_->training(rows);
  }

  // By the checkpoints that the run's folder shows, before anything there is touched; where a run that is just ending
  // writes one more, the steps left are judged again.
  void check_profile() {
    if (!options_.profile) return;
    run_on_first(world_, [&] {
      as_input([&] {
        const auto checkpoints = CheckpointFolder{run_folder(options_) / "checkpoints"}.list();
        require_profiled_steps(*options_.profile,
                               run_.steps() - (checkpoints.empty() ? 0 : checkpoints.rbegin()->first));
      });
    });
  }

  // With the figures that utilisation is made of: flops of all ranks, peaks of all ranks at the same time.
  TrainerOptions finish_options(const std::string& record) {
    TrainerOptions options = trainer_options(run_, record, data_->objective());
    const double peak_flops = kernels_.product_peak(graphs_.bfloat16 ? DType::kBFloat16 : graphs_.dtype);
    double totals[2] = {static_cast<double>(step_->product_flops()), peak_flops};
    world_.all_reduce(totals, 2, DType::kFloat64, Reduction::kSum);
    options.flops_per_step = totals[0];
    options.peak_flops = totals[1];
    if (const Gpu* const gpu = kernels_.gpu()) options.peak_memory = [gpu] { return gpu->peak_bytes(); };
    if (options_.profile)
      options.profile = profile_options(*options_.profile, mesh_, world_.rank(), peak_flops, kernels_.table());
    return options;
  }

  void say_what(const RunFolder& folder, int64_t step) {
    if (world_.rank() != 0) return;
    fmt::print(stderr,
               "{}: {:.2f} M parameters, {} rank(s) of {}, {:.1f} MB of activations and {:.1f} MB of state a rank\n",
               folder.path().string(), static_cast<double>(count_parameters(step_->graph())) / 1e6, world_.size(),
               kernels_.name(), static_cast<double>(step_->program().arena_bytes()) / 1e6,
               static_cast<double>(step_->state().bytes()) / 1e6);
    if (graphs_.model.rows() != graphs_.model.vocab)
      fmt::print(stderr, "vocabulary of {} padded to {} rows, which get no probability\n", graphs_.model.vocab,
                 graphs_.model.rows());
    if (step > 0) fmt::print(stderr, "going on after step {}\n", step);
  }

  const TrainCommand& options_;
  const config::Run& run_;
  Communicator& world_;
  RankKernels kernels_;
  Mesh mesh_;
  AxisCommunicators communicators_;
  std::optional<RunData> data_;
  StepGraphOptions graphs_;
  std::unique_ptr<TrainStep> step_;
  std::unique_ptr<BatchSource> source_;
  std::optional<Evaluation> evaluation_;
};

int train(const TrainCommand& options, Session& session) {
  config::Run run;
  session.together([&] { run = load(options); });
  if (options.show) {
    if (Session::launched_rank() == 0) fmt::print("{}", run_text(run));
    return 0;
  }
  Facts facts = run_facts("train", run);
  facts.emplace_back("--run", run_folder(options).string());
  facts.emplace_back("--init-from", options.init_from);
  facts.emplace_back("--profile", options.profile ? fmt::format("{}", *options.profile) : "");
  session.require_same(facts);
  session.together([&] {
    check_names(run);
    check_values(run, Session::launched_size());
    check_objective(run);
    if (options.profile) require_profiled_steps(*options.profile, run.steps());
  });
  return Job(options, run, session).train();
}

}  // namespace

void add_train_command(CommandLine& line) {
  const auto options = std::make_shared<TrainCommand>();
  CLI::App& app = line.add("train", "Start a run, or go on with it where its folder holds a checkpoint",
                           "mpirun -n 2 synthesizer train configs/runs/quickstart.txtpb --set seed=2 --run runs/second",
                           [options](Session& session) { return train(*options, session); });
  app.add_option("config", options->config, "Configuration of the run")->required();
  app.add_option("--set", options->set, "Override a field: field.path=value")->take_all();
  app.add_option("--run", options->run, "Folder of the run; by default runs/<configuration's name>");
  app.add_option("--steps", options->steps, "Updates in all; overrides the configuration");
  app.add_option("--init-from", options->init_from, "Checkpoint whose parameters a new run begins with");
  app.add_option("--profile", options->profile,
                 "Steps to profile, after two to warm up: RUN/profile/trace.json (opens in Perfetto) and by_op.csv");
  app.add_flag("--show", options->show, "Print the whole effective configuration and stop");
}

}  // namespace synthesizer
