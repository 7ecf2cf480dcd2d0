// The training loop: batches in, steps, metrics, validation, checkpoints, and a clean stop when asked.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/checkpoint/writer.h"
#include "core/train/evaluation.h"
#include "core/train/metrics.h"
#include "core/train/profile.h"
#include "core/train/progress.h"
#include "core/train/run_folder.h"
#include "core/train/signals.h"
#include "core/train/tensorboard.h"
#include "core/train/train_step.h"

namespace synthesizer {

// So many updates left out one after the other end a run that skips steps whose loss or gradients are not finite: by
// then it is the run that is wrong, not a batch.
inline constexpr int64_t kMostSkippedInARow = 100;

struct TrainerOptions {
  int64_t steps = 0;  // updates in all
  int64_t log_every = 10;
  int64_t eval_every = 0;        // 0: only before the first step and after the last
  int64_t checkpoint_every = 0;  // 0: only after the last
  int keep = 2;
  int64_t milestone_every = 0;
  bool skip_nonfinite = false;                   // a step that is not finite is left out, instead of ending the run
  std::function<double(int64_t)> learning_rate;  // of a step, counted from 0
  uint64_t seed = 1;
  std::string program_version;
  std::string config;           // the whole effective configuration
  int64_t tokens_per_step = 0;  // inputs and targets of the global batch
  double flops_per_step = 0;    // of matrix products, all ranks
  double peak_flops = 0;        // matrix products a second, all ranks: measured
  // Peak of the memory that training is done in; unset: the process's resident set.
  std::function<int64_t()> peak_memory;
  // Of some steps, after the first ones.
  std::optional<ProfileOptions> profile;
};

enum class TrainEnd {
  kFinished,  // all steps done, the last checkpoint written
  kStopped,   // asked to stop: a checkpoint of the last step done is written
};

class Trainer {
 public:
  // All references outlive the trainer. `evaluation` may be null.
  Trainer(TrainerOptions options, TrainStep& step, BatchSource& source, Evaluation* evaluation, const RunFolder& folder,
          Communicator& world, SignalHandlers& signals);

  // Takes up the newest whole checkpoint of the run's folder; false if there is none (parameters stay as they are).
  // Collective.
  bool resume();
  // Updates done so far.
  int64_t step() const { return done_; }
  // Collective. Throws Error, the same on all ranks, if loss or gradients are not finite and such steps are not
  // skipped, or kMostSkippedInARow have been: names the step, the first tensor and its rank; nothing of that step is
  // saved, and what was being saved before is finished.
  TrainEnd run();

 private:
  void start_metrics();
  void take_step();
  void meet_nonfinite(const Batch& batch, const StepResult& result, double learning_rate);
  void check_state();
  std::string way_on(bool again) const;
  void log(const StepResult& result);
  void evaluate();
  void save(bool wait);
  void write_profile();
  bool due(int64_t every) const { return done_ == options_.steps || (every > 0 && done_ % every == 0); }
  bool first() const { return world_.rank() == 0; }

  TrainerOptions options_;
  TrainStep& step_;
  BatchSource& source_;
  Evaluation* evaluation_;
  const RunFolder& folder_;
  Communicator& world_;
  SignalHandlers& signals_;
  CheckpointWriter writer_;
  std::optional<MetricsWriter> metrics_;
  std::optional<TensorBoardWriter> board_;
  std::optional<Progress> progress_;
  std::optional<Profile> profile_;  // until it is written
  int64_t done_ = 0, saved_ = -1, logged_ = 0;
  int64_t skipped_ = 0;  // updates left out since the last that was made
  DataPosition position_;
  std::chrono::steady_clock::time_point logged_at_;
};

}  // namespace synthesizer
