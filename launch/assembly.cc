#include "launch/assembly.h"

#include <filesystem>

#include "core/base/error.h"
#include "data/manifest.h"
#include "dist/parallel.h"
#include "launch/config/check.h"
#include "launch/config/convert.h"

namespace synthesizer {

MeshShape mesh_shape(const config::Run& run, int world) {
  return {{{"data", data_ranks(run, world)}, {"tensor", run.parallel().mesh().tensor()}}};
}

Vocabulary planned_vocabulary(const config::Run& run) {
  Vocabulary vocabulary;
  vocabulary.sentinels = run.data().sentinels();
  if (!run.data().shards().empty()) {
    check_files(run);
    vocabulary.pieces = Tokenizer(std::filesystem::path(run.data().shards()) / kTokenizerFile).vocabulary().pieces;
    return vocabulary;
  }
  vocabulary.pieces = run.model().vocab_size() - vocabulary.sentinels;
  if (vocabulary.pieces < 1)
    fail_usage(
        "model.vocab_size: got {}, expected more than the {} sentinels where no data.shards are given. Try --set "
        "model.vocab_size=32128",
        run.model().vocab_size(), vocabulary.sentinels);
  return vocabulary;
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
  options.recompute = recompute_choice(run.recompute());
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
  return partition_for(mesh, run_layout(run), {.placements = placements, .zero = run.parallel().zero() > 0});
}

}  // namespace synthesizer
