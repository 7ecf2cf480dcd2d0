#include "core/train/trainer.h"

#include <fmt/format.h>

#include <cmath>

#include "core/base/error.h"
#include "core/checkpoint/reader.h"
#include "core/checkpoint/state_slices.h"
#include "core/graph/agreement.h"
#include "core/report/report.h"
#include "core/train/memory.h"

namespace synthesizer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kSkippedInARow = "skipped_in_a_row";  // in a checkpoint's extra state

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string number_text(double value) { return std::isnan(value) ? "NaN" : fmt::format("{:.6g}", value); }

std::string rank_text(int rank, const Communicator& world) {
  return world.size() > 1 ? fmt::format(" on rank {}/{}", rank, world.size()) : "";
}

}  // namespace

Trainer::Trainer(TrainerOptions options, TrainStep& step, BatchSource& source, Evaluation* evaluation,
                 const RunFolder& folder, Communicator& world, SignalHandlers& signals)
    : options_(std::move(options)),
      step_(step),
      source_(source),
      evaluation_(evaluation),
      folder_(folder),
      world_(world),
      signals_(signals),
      writer_({folder.checkpoints(), options_.keep, options_.milestone_every}, world) {}

bool Trainer::resume() {
  const NewestCheckpoint newest = find_newest_checkpoint(folder_.checkpoints(), world_);
  if (first())
    for (const std::string& line : newest.refused) fmt::print(stderr, "warning: {}\n", line);
  if (!newest.folder) return false;
  run_together(world_, [&] {
    const CheckpointReader reader(*newest.folder);
    for (const CheckpointPart part : kCheckpointParts) read_state(reader, step_.state(), part);
    done_ = saved_ = reader.state().step;
    position_ = {reader.state().epoch, reader.state().example};
    skipped_ = reader.state().extra.value(kSkippedInARow, int64_t{0});
  });
  return true;
}

void Trainer::start_metrics() {
  run_on_first(world_, [&] {
    truncate_metrics(folder_.metrics(), done_ == 0 ? -1 : done_);
    metrics_.emplace(folder_.metrics());
    board_.emplace(folder_.path(), done_);
    board_->text("configuration", done_, "```\n" + options_.config + "\n```");
    Progress::Options progress;
    progress.first_step = done_;
    progress.total = options_.steps;
    progress.log_every = options_.log_every;
    progress_.emplace(progress);
  });
  logged_ = done_;
  logged_at_ = Clock::now();
}

TrainEnd Trainer::run() {
  start_metrics();
  source_.seek(position_);
  if (done_ == 0) evaluate();
  const StateStore& store = step_.state();
  writer_.reserve(slices_to_write(store, CheckpointPart::kModel), slices_to_write(store, CheckpointPart::kOptimizer));
  if (options_.profile) profile_.emplace(*options_.profile, step_.programs(), world_, done_);
  while (done_ < options_.steps) {
    if (profile_) profile_->begin_step(done_);
    take_step();
    if (profile_ && profile_->end_step()) write_profile();
    const StopRequest request = signals_.requested(world_);
    const bool stop = request >= StopRequest::kStop && done_ < options_.steps;
    if (due(options_.eval_every) && !stop) evaluate();
    if (due(options_.checkpoint_every) || request != StopRequest::kNone)
      save(stop || done_ == options_.steps);
    else if (writer_.in_flight())
      writer_.poll();
    if (request == StopRequest::kSave) signals_.saved();
    if (stop) {
      if (profile_ && first()) progress_->message("warning: stopped before the profile was whole: none is written");
      return TrainEnd::kStopped;
    }
  }
  return TrainEnd::kFinished;
}

void Trainer::take_step() {
  const Batch* batch = source_.next();
  CHECK(batch != nullptr, "the training data ended");
  position_ = batch->next;
  const double learning_rate = options_.learning_rate(done_);
  const StepResult result = step_.run(*batch, done_, learning_rate);
  if (result.finite) {
    skipped_ = 0;
    ++done_;
    log(result);
  } else {
    meet_nonfinite(*batch, result, learning_rate);
    ++done_;
  }
}

void Trainer::meet_nonfinite(const Batch& batch, const StepResult& result, double learning_rate) {
  const std::optional<NonFinite> where = step_.explain(batch, done_, learning_rate, world_);
  const std::string figures =
      fmt::format("loss {}, gradient norm {}", number_text(result.loss), number_text(result.gradient_norm));
  std::string what = fmt::format("step {}: ", done_ + 1);
  if (where)
    what += fmt::format("{}{}, the first tensor that is not finite ({})", where->text, rank_text(where->rank, world_),
                        figures);
  else
    what += fmt::format("not finite ({}), but finite when it is run again: the machine is not to be trusted", figures);
  const bool hopeless = where && where->persistent;
  if (options_.skip_nonfinite && !hopeless && ++skipped_ < kMostSkippedInARow) {
    if (!first()) return;
    progress_->message(fmt::format("warning: {}; its update is left out ({} in a row)", what, skipped_));
    metrics_->write(SkippedStep{done_ + 1, skipped_});
    board_->scalar("train/skipped_in_a_row", done_ + 1, static_cast<double>(skipped_));
    return;
  }
  writer_.finish();  // what is being saved is of a good step
  if (options_.skip_nonfinite && !hopeless) what += fmt::format("; {} updates in a row were left out", skipped_);
  fail("[train] {}; nothing of this step is saved. {}", what, way_on(hopeless));
}

// What is left to do after a step that was not finite. The configuration of a run does not change, so it is another
// run.
std::string Trainer::way_on(bool again) const {
  const auto checkpoints = CheckpointFolder{folder_.checkpoints()}.list();
  const std::string change =
      again ? "schedule.learning_rate lower" : "schedule.learning_rate lower, clip_norm set, or on_nonfinite: SKIP";
  if (checkpoints.empty()) return fmt::format("Start another run (--run) with {}", change);
  return fmt::format("Start another run (--run) from the last checkpoint (--init-from {}) with {}",
                     checkpoints.rbegin()->second.string(), change);
}

// An update of finite gradients can still overflow.
void Trainer::check_state() {
  const std::optional<NonFinite> bad = find_nonfinite(step_.state(), world_);
  if (!bad) return;
  writer_.finish();
  fail("[train] step {}: after its update {}{}; it is not saved. {}", done_, bad->text, rank_text(bad->rank, world_),
       way_on(true));
}

void Trainer::log(const StepResult& result) {
  if (!first()) return;
  const double seconds = seconds_since(logged_at_) / static_cast<double>(done_ - logged_);
  const double rate = static_cast<double>(options_.tokens_per_step) / seconds;
  progress_->update(done_, result.loss, rate);
  if (!due(options_.log_every)) return;
  TrainingMetrics line;
  line.step = done_;
  line.loss = result.loss;
  line.log_perplexity = result.log_perplexity;
  line.learning_rate = options_.learning_rate(done_ - 1);
  line.gradient_norm = result.gradient_norm;
  line.seconds = seconds;
  line.tokens_per_second = rate;
  line.model_flop_utilisation = options_.peak_flops > 0 ? options_.flops_per_step / seconds / options_.peak_flops : 0;
  line.memory_bytes = options_.peak_memory ? options_.peak_memory() : peak_resident_bytes();
  metrics_->write(line);
  board_->scalars("train/", done_, named_values(line));
  logged_ = done_;
  logged_at_ = Clock::now();
}

void Trainer::evaluate() {
  if (evaluation_ == nullptr) return;
  const Clock::time_point start = Clock::now();
  const EvaluationResult result = evaluation_->run();
  if (first()) {
    const NamedValues values = named_values(result);
    metrics_->write(ValidationMetrics{done_, values});
    board_->scalars("validation/", done_, values);
    progress_->message(fmt::format("step {}: validation loss {:.4f} (unigram entropy {:.4f})", done_, result.loss,
                                   result.unigram_entropy));
  }
  logged_at_ += Clock::now() - start;  // validation is no part of a step's time
}

void Trainer::write_profile() {
  const Clock::time_point start = Clock::now();
  const std::string table = profile_->write(folder_.profile());
  if (first()) progress_->message(table);
  profile_.reset();
  logged_at_ += Clock::now() - start;  // nor is this
}

void Trainer::save(bool wait) {
  if (saved_ != done_) {
    check_state();
    CheckpointState state;
    state.step = done_;
    state.epoch = position_.epoch;
    state.example = position_.example;
    state.seed = options_.seed;
    state.program_version = options_.program_version;
    state.config = options_.config;
    if (skipped_ > 0) state.extra[kSkippedInARow] = skipped_;
    const StateStore& store = step_.state();
    writer_.begin(state, slices_to_write(store, CheckpointPart::kModel),
                  slices_to_write(store, CheckpointPart::kOptimizer));
    saved_ = done_;
  }
  run_on_first(world_, [&] { write_report(folder_.path(), options_.config); });
  if (wait) writer_.finish();
}

}  // namespace synthesizer
