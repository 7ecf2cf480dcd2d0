// A model that runs, in float64: on one rank, or one rank's part of it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/graph/program.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/model/model.h"

namespace synthesizer {

struct RunSetting {
  ModelConfig config;
  BatchShape shape{.batch = 4, .source_length = 11, .target_length = 7};
  LossConfig loss;
  ModelOptions options{.dtype = DType::kFloat64};
  bool gradients = false;  // of every parameter, as training has them: outputs "gradient.NAME"
  bool passes = false;     // the optimize passes that training runs
};

// Parameters are drawn from one seed. Inputs depend on their place in the whole batch alone: row r has r + 3 live
// positions, all targets count 1 but the first, 0.5.
class ModelRun {
 public:
  // `world`: the data axis, outlives the run; null: one rank.
  explicit ModelRun(const RunSetting& setting, Communicator* world = nullptr);

  void run(int64_t step = 0, int64_t position = 0);

  double loss() { return output("loss")[0]; }
  // "loss", "nll_sum", "logits", "next_logits", "gradient.NAME", where the setting has them.
  std::vector<double> output(const std::string& name);
  std::vector<std::string> outputs() const;
  bool has_input(const std::string& name) const { return program_->has_input(name); }
  // This rank's rows.
  std::span<double> input(const char* name) { return program_->input<double>(name); }
  std::span<int32_t> ids(const char* name) { return program_->input<int32_t>(name); }
  std::span<double> parameter(const std::string& name);
  StateStore& parameters() { return *store_; }
  const KernelCounters& counters() const { return counters_; }

 private:
  void feed();
  void feed_ids(const char* name, int64_t row_size, int64_t below, uint32_t salt);

  RunSetting setting_;
  Communicator* world_;
  KernelCounters counters_;
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<CpuKernelTable> kernels_;
  std::unique_ptr<Program> program_;
};

}  // namespace synthesizer
