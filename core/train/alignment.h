// The alignment weights that a model's self-attentions have on text: how they are distributed (Figures 2 and 3 of the
// paper) and, by head, where they lie. What is found, and the files and pictures of it, are core/report's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/graph/program.h"
#include "core/graph/state_store.h"
#include "core/report/layer_alignment.h"
#include "core/train/batch_source.h"
#include "core/train/step_graph.h"

namespace synthesizer {

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
