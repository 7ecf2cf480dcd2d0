// One rank's training step: the partitioned graph, its state and its program.
#pragma once

#include <memory>

#include "core/graph/program.h"
#include "core/graph/state_store.h"
#include "core/train/batch_source.h"
#include "core/train/nonfinite.h"
#include "core/train/step_graph.h"

namespace synthesizer {

// Writes a batch into a program's inputs (those it has), and checks that the sizes fit.
void feed(Program& program, const Batch& batch);
// Writes a floating-point scalar input in the program's own dtype.
void feed_scalar(Program& program, const char* name, double value);
// Reads a floating-point scalar output.
double scalar(Program& program, const char* name);

struct StepResult {
  double loss = 0;
  double log_perplexity = 0;  // mean nll of the live targets
  double gradient_norm = 0;
  bool finite = true;  // else nothing was updated
};

class TrainStep {
 public:
  // `graph` is a partitioned training graph.
  TrainStep(std::unique_ptr<Graph> graph, const OptimizerConfig& optimizer, const KernelTable& kernels,
            const AxisCommunicators& communicators);

  // `step` counts from 0.
  StepResult run(const Batch& batch, int64_t step, double learning_rate);
  // The same where the batch is in the program's inputs already.
  StepResult run_fed(int64_t step, double learning_rate);
  // Of a step that run() found not finite, which therefore left the state as it was: the tensor that was so first.
  // Collective.
  std::optional<NonFinite> explain(const Batch& batch, int64_t step, double learning_rate, Communicator& world);

  StateStore& state() { return store_; }
  const Graph& graph() const { return *graph_; }
  Program& program() { return program_; }

 private:
  void feed_step(int64_t step, double learning_rate);

  std::unique_ptr<Graph> graph_;
  OptimizerConfig optimizer_;
  StateStore store_;
  Program program_;
};

}  // namespace synthesizer
