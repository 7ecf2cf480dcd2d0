// The configuration's messages as the plain structs that the layers below take; they know nothing of protobuf.
#pragma once

#include "configs/schema/run.pb.h"
#include "core/model/config.h"
#include "core/model/model.h"
#include "core/model/recompute_regions.h"
#include "core/optim/optimizer.h"
#include "core/optim/schedule.h"
#include "core/tensor/dtype.h"
#include "data/objective.h"

namespace synthesizer {

// All take what is complete (load_run) and checked.

// `vocabulary` is the shards'; UsageError if model.vocab_size is too small
// for it.
ModelConfig model_config(const config::Run& run, const Vocabulary& vocabulary);

AttentionConfig attention_config(const config::Stack& stack, int64_t max_length);
ObjectiveOptions objective_options(const config::Data& data);
OptimizerConfig optimizer_config(const config::Run& run);
ScheduleConfig schedule_config(const config::Run& run);
LossConfig loss_config(const config::Run& run);
Recompute recompute_choice(config::Run::Recompute recompute);
DType run_dtype(const config::Run& run);

}  // namespace synthesizer
