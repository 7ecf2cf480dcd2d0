// What may differ between a run's configuration and the one its checkpoint was written with.
#pragma once

#include "configs/schema/run.pb.h"

namespace synthesizer {

// Both complete (load_run). Only steps, parallel.mesh, parallel.layout, parallel.zero, parallel.microbatches, device,
// log, eval and checkpoint may differ; for anything else throws UsageError that names the field and both values.
void check_resume(const config::Run& saved, const config::Run& now);

}  // namespace synthesizer
