// Judges a whole configuration before anything is allocated, read or written. One line for the first mistake: field,
// what it got, what is expected, a hint. Names first, then values, then files.
#pragma once

#include "configs/schema/run.pb.h"
#include "core/graph/layout.h"

namespace synthesizer {

// Names inside text fields: attention functions, dimensions and axes of the layout, what is frozen.
void check_names(const config::Run& run);

// Ranges of the numbers, what this version has, and fields against each other. `world`: the ranks that were started.
void check_values(const config::Run& run, int world);

// Whether the objective gives the examples that the structure learns from: what a command that reads data asks besides.
void check_objective(const config::Run& run);

// Folders that must be there: shards and validation, with their manifest.
void check_files(const config::Run& run);

// The four in order. `run` is complete (load_run). All throw UsageError.
void check_run(const config::Run& run, int world);

// parallel.layout. UsageError for entries that are none, with the nearest names.
Layout run_layout(const config::Run& run);

// parallel.mesh.data, which 0 leaves to the world.
int data_ranks(const config::Run& run, int world);

}  // namespace synthesizer
