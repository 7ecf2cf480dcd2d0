// Training of small models on a mesh of ranks that are threads of this process.
#pragma once

#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "core/train/train_step.h"
#include "dist/mesh.h"
#include "dist/parallel.h"

namespace synthesizer {

struct LayoutSetting {
  std::string name;
  std::string encoder, decoder;
  Structure structure = Structure::kEncoderDecoder;
  OptimizerKind optimizer = OptimizerKind::kAdafactor;
  double dropout = 0;
  void (*change)(ModelConfig&) = nullptr;
  bool bfloat16 = false;  // beside float32
  friend void PrintTo(const LayoutSetting& setting, std::ostream* out) { *out << setting.name; }
};

// One of each attention string's parts, in both stacks where a decoder may have it.
std::vector<LayoutSetting> each_attention();

// All kinds of models that layouts are tested with: those, mixtures, and every structure and switch that changes what a
// step computes.
std::vector<LayoutSetting> every_model();
// Those of these names, in that order. Throws Error if there is none of a name.
std::vector<LayoutSetting> models_named(const std::vector<std::string>& names);

// Small sizes that divide by four ranks: a batch of 4, a vocabulary of 61 in 64 rows.
StepGraphOptions layout_options(const LayoutSetting& setting, DType dtype);

// A mesh, and what belongs to it alone of how a step is run: no result may depend on it.
struct Mesh2d {
  int data, tensor;
  int micro_batches = 1;  // of `reduction: FAST`
  int zero = 0;
  int leaves = 0;  // of `reduction: ORDERED`; 0: FAST
  int threads = 1;
  Wire wire = Wire::kFull;  // of gradients: the one that results do depend on, by rounding
};

// The mesh and whatever of the rest is not as usual: "2x1, 2 micro-batches".
std::string text(const Mesh2d& mesh);

// What belongs to the mesh, written into the options; and into the partition's.
StepGraphOptions options_on(const Mesh2d& mesh, StepGraphOptions options);
PartitionOptions partition_on(const Mesh2d& mesh);

// "batch:data heads:tensor ff:tensor vocab:tensor", the configuration's default.
const Layout& default_layout();

// One rank's training.
struct RankRun {
  const Mesh& mesh;
  const StepGraphOptions& options;
  TrainStep& step;
  std::vector<StepResult> results;
  double learning_rate = 0.05;

  // Writes the rank's rows of a micro-batch, the same in every step.
  void feed(Program& program, int64_t micro_batch) const;
  // Steps `from` … `from + count - 1`, each on the same batch. Nothing is allocated where `results` has room.
  void train(int from, int count);
};

// Calls visit on every rank of the mesh, with freshly drawn parameters. Rethrows what a rank throws.
void on_mesh(const StepGraphOptions& whole, const Layout& layout, Mesh2d shape,
             const std::function<void(RankRun&)>& visit);

// What one rank ends with, whole.
struct WholeRun {
  std::vector<StepResult> results;
  std::map<std::string, std::vector<double>> state;
};
WholeRun train_whole(const StepGraphOptions& options, int steps, double learning_rate = 0.05);

// How far a rank's block of a tensor is from the whole one, relative to the whole one's largest element (at least
// 1e-3).
double distance(const StateTensor& tensor, const std::vector<double>& whole);

}  // namespace synthesizer
