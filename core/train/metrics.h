// metrics.jsonl: one JSON object a line, numbers with nine significant digits, written through at each line. Rank 0
// only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/base/file.h"

namespace synthesizer {

using NamedValues = std::vector<std::pair<std::string, double>>;

// A line of training. Only these lines have the field `loss`.
struct TrainingMetrics {
  int64_t step = 0;  // updates done
  // The same on every run of one configuration and number of ranks:
  double loss = 0;            // what is minimised, z-loss and smoothing included
  double log_perplexity = 0;  // plain cross entropy, nats a token
  double learning_rate = 0;
  double gradient_norm = 0;
  // Differ from run to run:
  double seconds = 0;  // of wall-clock time a step, mean since the line before
  double tokens_per_second = 0;
  double model_flop_utilisation = 0;  // of the machine's measured matrix-product peak
  int64_t memory_bytes = 0;           // peak of rank 0: of what it took of a GPU, else resident
};

// A line of validation; `values` in the order they are to be written, the first of them validation_loss.
struct ValidationMetrics {
  int64_t step = 0;
  NamedValues values;
};

// A step whose update was left out, as its loss or gradients were not finite: a line of its own, without a loss.
struct SkippedStep {
  int64_t step = 0;
  int64_t in_a_row = 0;  // this one included
};

// The fields of a training line that depend on the clock or the machine; all others are reproducible.
inline const std::vector<std::string> kTimingFields{"seconds", "tokens_per_second", "model_flop_utilisation",
                                                    "memory_bytes"};

// Scalars of a training line besides the step, as written: names for metrics.jsonl and TensorBoard alike.
NamedValues named_values(const TrainingMetrics& metrics);

class MetricsWriter {
 public:
  // Appends to `path`, made if it is not there. Throws Error if it cannot be written.
  explicit MetricsWriter(const std::filesystem::path& path);

  // A value that is not finite is written as null.
  void write(const TrainingMetrics& metrics);
  void write(const SkippedStep& skipped);
  // Throws Error if a value is named loss or step.
  void write(const ValidationMetrics& metrics);

 private:
  void write_line(int64_t step, const NamedValues& values);
  File file_;
};

// UsageError if the file is there but cannot be appended to, or has a line (but for a torn last one) that is not a JSON
// object with a step. Changes nothing.
void check_metrics(const std::filesystem::path& path);

// Drops every line whose step is greater than `step`, and a last line that is torn; for a resume. The file is replaced
// whole or not at all; one that is not there stays so. UsageError naming the line if another one is not a JSON object
// with a step.
void truncate_metrics(const std::filesystem::path& path, int64_t step);

}  // namespace synthesizer
