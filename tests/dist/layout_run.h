// Training of small models on a mesh of ranks that are threads of this process.
#pragma once

#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "core/train/train_step.h"
#include "dist/mesh.h"

namespace synthesizer {

struct LayoutSetting {
  std::string name;
  std::string encoder, decoder;
  Structure structure = Structure::kEncoderDecoder;
  OptimizerKind optimizer = OptimizerKind::kAdafactor;
  double dropout = 0;
  void (*change)(ModelConfig&) = nullptr;
  bool zero = false;

  friend void PrintTo(const LayoutSetting& setting, std::ostream* out) { *out << setting.name; }
};

// Small sizes that divide by four ranks: a batch of 4, a vocabulary of 61 in 64 rows.
StepGraphOptions layout_options(const LayoutSetting& setting, DType dtype);

struct Mesh2d {
  int data, tensor;
};

// "batch:data heads:tensor ff:tensor vocab:tensor", the configuration's default.
const Layout& default_layout();

// One rank's training.
struct RankRun {
  const Mesh& mesh;
  TrainStep& step;
  std::vector<StepResult> results;

  // Steps `from` … `from + count - 1`, each on the same batch.
  void train(int from, int count);
};

// Calls visit on every rank of the mesh, with freshly drawn parameters; `threads` are a rank's. Rethrows what a rank
// throws.
void on_mesh(const StepGraphOptions& options, const Layout& layout, Mesh2d shape,
             const std::function<void(RankRun&)>& visit, int threads = 1);

// What one rank ends with, whole.
struct WholeRun {
  std::vector<StepResult> results;
  std::map<std::string, std::vector<double>> state;
};
WholeRun train_whole(const StepGraphOptions& options, int steps);

// How far a rank's block of a tensor is from the whole one, relative to the whole one's largest element (at least
// 1e-3).
double distance(const StateTensor& tensor, const std::vector<double>& whole);

}  // namespace synthesizer
