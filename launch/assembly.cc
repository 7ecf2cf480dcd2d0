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
  options.bfloat16 = run.precision() == config::Run::BF16;
  options.seed = run.seed();
  options.recompute = recompute_choice(run.recompute());
  options.relu_masks = run.device() == config::Run::CUDA;
  options.freeze.assign(run.freeze().begin(), run.freeze().end());
  return options;
}

namespace {

// This rank's place among those that the rows of a batch are shared out to.
struct RowRank {
  int64_t index = 0, count = 1;
};

RowRank row_rank(const config::Run& run, const Mesh& mesh) {
  const std::string axis(run_layout(run).axis("batch"));
  if (axis.empty()) return {};
  return {mesh.coordinate(axis), mesh.shape().size(axis)};
}

// What parallel.microbatches, reduction and leaves make of a step.
Accumulation accumulation_of(const config::Run& run, const Mesh& mesh) {
  Accumulation accumulation;
  accumulation.tree = run.parallel().reduction() == config::Parallel::ORDERED;
  accumulation.micro_batches.count = run.parallel().microbatches();
  if (!accumulation.tree) return accumulation;
  // Each leaf by itself, whatever microbatches says: they only keep its leaves from lying in memory at once.
  accumulation.micro_batches.count = run.parallel().leaves() / row_rank(run, mesh).count;
  accumulation.micro_batches.interleaved = run.parallel().zero() > 1;
  return accumulation;
}

}  // namespace

StepGraphOptions graph_options(const config::Run& run, const Vocabulary& vocabulary, const Mesh& mesh) {
  StepGraphOptions options = graph_options(run, vocabulary);
  options.accumulation = accumulation_of(run, mesh);
  return options;
}

BatchRows batch_rows(const config::Run& run, const Mesh& mesh) {
  const RowRank rank = row_rank(run, mesh);
  const MicroBatches parts = accumulation_of(run, mesh).micro_batches;
  const int64_t rows = run.data().batch() / rank.count;
  if (!parts.interleaved) return {rank.index * rows, (rank.index + 1) * rows};
  const int64_t piece = rows / parts.count;
  return {rank.index * piece, (rank.index + 1) * piece, parts.count, piece * rank.count};
}

int64_t first_row(const config::Run& run, const Mesh& mesh) {
  return row_rank(run, mesh).index * (batch_rows(run, mesh).count() / accumulation_of(run, mesh).micro_batches.count);
}

Communicator* row_ranks(const config::Run& run, const Mesh& mesh) {
  const std::string axis(run_layout(run).axis("batch"));
  return axis.empty() ? nullptr : &mesh.axis(axis);
}

Partition partition_of(const config::Run& run, const Mesh& mesh, PlacementsByName* placements) {
  PartitionOptions options{.placements = placements};
  options.update.zero = run.parallel().zero();
  if (run.parallel().reduction() == config::Parallel::ORDERED) options.update.leaves = run.parallel().leaves();
  if (run.parallel().wire() == config::Parallel::BF16) options.update.wire = Wire::kBFloat16;
  return partition_for(mesh, run_layout(run), options);
}

}  // namespace synthesizer
