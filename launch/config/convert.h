// The configuration's messages as the plain structs that the layers below take; they know nothing of protobuf.
#pragma once

#include "configs/schema/run.pb.h"
#include "core/model/config.h"
#include "data/objective.h"

namespace synthesizer {

// `run` is complete (load_run) and checked. `vocabulary` is the shards'; UsageError if model.vocab_size is too small
// for it.
ModelConfig model_config(const config::Run& run, const Vocabulary& vocabulary);

ObjectiveOptions objective_options(const config::Data& data);

}  // namespace synthesizer
