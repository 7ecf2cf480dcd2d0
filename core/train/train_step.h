// One rank's training step: the partitioned graphs, their state and their programs.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/graph/program.h"
#include "core/graph/state_store.h"
#include "core/train/batch_source.h"
#include "core/train/nonfinite.h"
#include "core/train/step_graph.h"

namespace synthesizer {

// Writes a batch into a program's inputs (those it has), and checks that the sizes fit. Of a program for a part of the
// rank's rows, those from `first_row` on.
void feed(Program& program, const Batch& batch, int64_t first_row = 0);
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
  // `graphs` are partitioned training graphs.
  TrainStep(StepGraphs graphs, const OptimizerConfig& optimizer, const KernelTable& kernels,
            const AxisCommunicators& communicators);

  // `step` counts from 0.
  StepResult run(const Batch& batch, int64_t step, double learning_rate);
  // The same with the batch written by `write`: called before each micro-batch with its program and index.
  using Feed = std::function<void(Program& program, int64_t micro_batch)>;
  StepResult run(const Feed& write, int64_t step, double learning_rate);
  // Of a step that run() found not finite, which therefore left the state as it was: the tensor that was so first.
  // Collective.
  std::optional<NonFinite> explain(const Batch& batch, int64_t step, double learning_rate, Communicator& world);

  StateStore& state() { return store_; }
  // The graph and the program of the last micro-batch, which updates.
  const Graph& graph() const { return graphs_.update(); }
  Program& program() { return *programs_[graphs_.order.back()]; }
  const StepGraphs& graphs() const { return graphs_; }
  // One a graph.
  std::vector<Program*> programs();
  // Of matrix products, in a step (core/graph/report.h).
  int64_t product_flops() const;

 private:
  // The program of a micro-batch, its inputs written.
  Program& prepare(size_t micro_batch, const Feed& write, int64_t step, double learning_rate);

  StepGraphs graphs_;
  OptimizerConfig optimizer_;
  StateStore store_;
  Storage arena_;  // of all programs: they run one after the other
  std::vector<std::unique_ptr<Program>> programs_;
};

}  // namespace synthesizer
