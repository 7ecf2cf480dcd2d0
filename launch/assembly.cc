#include "launch/assembly.h"

#include "dist/parallel.h"
#include "launch/config/check.h"
#include "launch/config/convert.h"

namespace synthesizer {

MeshShape mesh_shape(const config::Run& run, int world) {
  return {{{"data", data_ranks(run, world)}, {"tensor", run.parallel().mesh().tensor()}}};
}

StepGraphOptions graph_options(const config::Run& run, const Vocabulary& vocabulary) {
  StepGraphOptions options;
  options.model = model_config(run, vocabulary);
  options.shape = {run.data().batch(), run.data().input_length(), run.data().target_length()};
  options.input_mask = options.model.structure == Structure::kEncoderClassifier;  // texts of any length
  options.packed = run.data().packing() == config::Data::DOCUMENTS;
  options.loss = loss_config(run);
  options.optimizer = optimizer_config(run);
  options.dtype = run_dtype(run);
  options.seed = run.seed();
  options.freeze.assign(run.freeze().begin(), run.freeze().end());
  return options;
}

BatchRows batch_rows(const config::Run& run, const Mesh& mesh) {
  const std::string axis(run_layout(run).axis("batch"));
  const int64_t batch = run.data().batch();
  if (axis.empty()) return {0, batch};
  const int64_t rows = batch / mesh.shape().size(axis);
  return {mesh.coordinate(axis) * rows, (mesh.coordinate(axis) + 1) * rows};
}

Communicator* row_ranks(const config::Run& run, const Mesh& mesh) {
  const std::string axis(run_layout(run).axis("batch"));
  return axis.empty() ? nullptr : &mesh.axis(axis);
}

Partition partition_of(const config::Run& run, const Mesh& mesh, PlacementsByName* placements) {
  return partition_for(mesh, run_layout(run), placements);
}

}  // namespace synthesizer
