// The whole step as one graph: model, gradients, clipping, optimizer update; and the graphs of evaluation,
// decoding and looking at alignments.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/model/model.h"
#include "core/model/recompute_regions.h"
#include "core/optim/optimizer.h"
#include "core/train/accumulation.h"

namespace synthesizer {

// From the global graph to one rank's: partition along each mesh axis, buckets. dist provides it; nothing: one rank.
using Partition = std::function<std::unique_ptr<Graph>(const Graph&)>;

struct StepGraphOptions {
  ModelConfig model;
  BatchShape shape;  // of the whole batch of a step
  Accumulation accumulation;
  LossConfig loss;
  OptimizerConfig optimizer;
  DType dtype = DType::kFloat32;  // of parameters, gradients, the optimizer and results
  bool bfloat16 = false;          // activations, and products of them, in bf16
  uint64_t seed = 1;
  bool input_mask = false;          // whether encoder inputs may have padding
  bool packed = false;              // whether rows hold several documents; in decoding they never do
  std::vector<std::string> freeze;  // parameters whose canonical name is one of these, or begins with one and a dot
  bool passes = true;               // optimize passes, and ops that do the work of several
  Recompute recompute = Recompute::kNone;  // of training
  bool keep_casts = true;                  // core/ops/passes/keep_casts.h, if it is worth its memory (false: tests)
  bool relu_masks = false;                 // relu's gradient by masks (core/ops/passes/product_epilogues.h): on GPUs
  bool update = true;                      // false: gradients only (tests)
  bool gradient_outputs = false;           // mark every gradient as output "gradient.NAME" (tests)
  bool logits = false;                     // mark the logits as output "logits" (tests)
};

// A step's graphs. Micro-batch i runs graphs[order[i]], the last of which updates.
struct StepGraphs {
  StepGraphs() = default;
  StepGraphs(std::unique_ptr<Graph> only);  // of a step in one piece
  const Graph& update() const { return *graphs[order.back()]; }

  std::vector<std::unique_ptr<Graph>> graphs;
  std::vector<size_t> order;
};

// Of the last graph (StepGraphs::update) the outputs are loss, nll_sum, weight_sum, of the whole batch, and with an
// update also gradient_norm and finite. Throws UsageError for a name in `freeze` that is no parameter, and for a
// `recompute` of blocks of which backward reads nothing.
StepGraphs training_graphs(const StepGraphOptions& options, const Partition& partition);
// The last of them.
std::unique_ptr<Graph> training_graph(const StepGraphOptions& options, const Partition& partition);
// Of one micro-batch. Outputs: nll [batch, length].
std::unique_ptr<Graph> evaluation_graph(const StepGraphOptions& options, const Partition& partition);
// Outputs: the alignments of these layers (0: the first) of each stack, as ModelOptions has them. On one rank.
std::unique_ptr<Graph> alignment_graph(const StepGraphOptions& options, std::vector<int64_t> layers);
// Outputs: next_logits [batch, vocab] at the input `position`. On one rank.
std::unique_ptr<Graph> decoding_graph(const StepGraphOptions& options);

}  // namespace synthesizer
