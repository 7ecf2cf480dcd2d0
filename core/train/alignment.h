// The alignment weights that a model's self-attentions have on text: how they are distributed (Figures 2 and 3 of the
// paper) and, by head, where they lie. Files and pictures of them are alignment_report.h's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/graph/program.h"
#include "core/graph/state_store.h"
#include "core/train/batch_source.h"
#include "core/train/step_graph.h"

namespace synthesizer {

// Weights below 1e-8 have one bin; from there to 1 ten a decade, equally wide in the logarithm.
inline constexpr int kWeightBins = 81;
// Bin `bin` has the weights in [weight_bin_low(bin), weight_bin_low(bin + 1)), the last one also 1 and what rounding
// puts above it.
double weight_bin_low(int bin);
int weight_bin(double weight);

// One self-attention. Queries and keys that are padding count nowhere, nor do keys that a query may not
// see.
struct LayerAlignment {
  std::string stack;      // "encoder", "decoder"
  int64_t layer = 0;      // 0: the first
  std::string attention;  // as the configuration has it: "R+V"
  int64_t heads = 0;
  int64_t length = 0;   // of queries and of keys
  bool shared = false;  // all examples have the same, which counts once
  std::array<int64_t, kWeightBins> histogram{};
  // Of each query, in how many examples it lives (shared: 1 if in any).
  std::vector<int64_t> lives;
  // [heads, length, length]: the mean over the examples in which the query lives; 0 where there are none.
  std::vector<double> mean;
};

class AlignmentSurvey {
 public:
  // `layers`: 0 is the first. `options.shape` is that of the batches. Stacks and layers without an alignment of queries
  // to keys have no part in it.
  AlignmentSurvey(const StepGraphOptions& options, const std::vector<int64_t>& layers, const KernelTable& kernels);

  // The model's parameters, to be filled in before run().
  StateStore& state() { return state_; }
  // One pass over the source; at most `examples` of its live rows count.
  std::vector<LayerAlignment> run(BatchSource& source, int64_t examples);

 private:
  // The batch's rows that count, at most `most` of them.
  std::vector<size_t> live_rows(const Batch& batch, int64_t most) const;
  void add(LayerAlignment& to, const Batch& batch, const std::vector<size_t>& rows);

  int64_t batch_;
  std::unique_ptr<Graph> graph_;
  StateStore state_;
  Program program_;
  std::vector<LayerAlignment> layers_;  // with nothing counted yet
};

}  // namespace synthesizer
