// From a run's configuration to its graphs on this rank: the mesh, the layout, the kernels, and what graphs are built
// with.
#pragma once

#include <string>

#include "configs/schema/run.pb.h"
#include "core/graph/report.h"
#include "core/train/step_graph.h"
#include "dist/mesh.h"
#include "launch/run_data.h"

namespace synthesizer {

// parallel.mesh, its data axis completed for `world` ranks.
MeshShape mesh_shape(const config::Run& run, int world);

// For looking at a run without running it: the shards' vocabulary or, where none are named, as many ids as
// model.vocab_size. UsageError where neither is given.
Vocabulary planned_vocabulary(const config::Run& run);

// Options of all graphs of the run, at the shape of its batches, whole.
StepGraphOptions graph_options(const config::Run& run, const Vocabulary& vocabulary);
// The same, in the micro-batches (or ORDERED's leaves) that a rank of this mesh takes them in.
StepGraphOptions graph_options(const config::Run& run, const Vocabulary& vocabulary, const Mesh& mesh);

// The rows of a global batch that belong to this rank of the mesh, micro-batch after micro-batch.
BatchRows batch_rows(const config::Run& run, const Mesh& mesh);
// The first of this rank's rows among those that all ranks have in one micro-batch.
int64_t first_row(const config::Run& run, const Mesh& mesh);

// The ranks among which the rows of a batch are shared out; null: every rank has all of them.
Communicator* row_ranks(const config::Run& run, const Mesh& mesh);

// The global graph to this rank's. `placements`, if given, outlives the function.
Partition partition_of(const config::Run& run, const Mesh& mesh, PlacementsByName* placements = nullptr);

}  // namespace synthesizer
