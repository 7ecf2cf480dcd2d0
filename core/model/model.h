// A whole model as graph nodes: from token ids to the loss. It knows no devices, no ranks and no optimizer.
#pragma once

#include <cstdint>
#include <vector>

#include "core/graph/graph.h"
#include "core/model/config.h"

namespace synthesizer {

// The sizes of one step's batch: one graph each.
struct BatchShape {
  int64_t batch = 0;          // examples, over all ranks
  int64_t source_length = 0;  // of the encoder; not used by a decoder alone
  int64_t target_length = 0;  // of the decoder; not used by a classifier
};

struct LossConfig {
  double z_loss = 0;           // times log(Z)²
  double label_smoothing = 0;  // spread over the true vocabulary
};

enum class Mode {
  kTrain,
  kEvaluate,  // no dropout, no z-loss, no label smoothing
};

struct ModelOptions {
  Mode mode = Mode::kTrain;
  DType dtype = DType::kFloat32;  // of parameters, the loss and all results
  bool bfloat16 = false;          // what there is for each example in bf16, beside parameters in f32
  uint64_t seed = 0;              // of dropout
  bool input_mask = true;         // whether the encoder's input may have padding
  bool packed = false;            // whether rows hold several documents, each apart from the others; no classifier's do
  bool loss = true;
  bool keep_logits = false;  // for backward, as their softmax (core/ops/cross_entropy.h); false: it makes them again
  bool logits = false;       // all of them: for tests and small models
  bool fused = true;         // ops that do the work of several (core/ops/dot_attention.h); false: these
  bool next_logits = false;  // those at one position, given at run time: for decoding
  // Layers (0: the first) of each stack whose self-attention's alignment becomes an output (stack.h names it):
  // [batch, heads, length, memory_length], without batch where all examples have the same.
  std::vector<int64_t> alignments;
};

// The leaves that the host writes before each step; no value where the model or the options have no use for one.
// Their names in the graph are the members'.
struct ModelInputs {
  Value inputs;          // [batch, length] i32
  Value input_mask;      // [batch, memory_length] i32: 1 for a token, 0 for padding
  Value decoder_inputs;  // [batch, length] i32: the targets one to the right, 0 first; a classifier has none
  // Of packed rows, i32 [batch, length]: the number of each token's document, from 1, neighbours alike, 0 for padding,
  // a document's input and target alike; and the token's place in it, where packed_positions has a use for it.
  Value input_segments, input_positions;    // of the inputs, in the place of input_mask
  Value target_segments, target_positions;  // of decoder_inputs and targets
  Value targets;                            // [batch, length] i32; of a classifier [batch], as are weights and nll
  Value weights;      // [batch, length], of each target: 0 for padding and for rows that only fill up the batch
  Value denominator;  // []: the sum of the global batch's weights
  Value step;         // i64 []
  Value position;     // i64 []: of next_logits
};

// No value for what was not asked for. `loss`, `logits` and `next_logits` are differentiable values; the sums are
// reports.
struct ModelOutputs {
  Value loss;         // []: Σ weight·(nll + z·log²Z) / denominator
  Value nll_sum;      // []: Σ weight·nll
  Value weight_sum;   // []: Σ weight
  Value nll;          // [batch, length]: of each target, without smoothing and weights
  Value logits;       // [batch, length, vocab], columns of the padding included; of a classifier [batch, classes]
  Value next_logits;  // [batch, vocab] at `position`
};

struct Model {
  ModelInputs inputs;
  ModelOutputs outputs;
};

// Throws UsageError for a configuration that makes no model (naming the field) and for lengths beyond max_length.
void check_model(const ModelConfig& config);
// Adds the model to the graph, which has nothing of it yet. Parameters are leaves under their canonical names.
Model build_model(Graph& graph, const ModelConfig& config, const BatchShape& shape, const LossConfig& loss,
                  const ModelOptions& options);

// Elements of the trained parameters of a graph, whole, whatever of them a partitioned graph has.
int64_t count_parameters(const Graph& graph);

}  // namespace synthesizer
