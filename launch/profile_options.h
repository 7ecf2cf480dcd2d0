// How a profile names this rank, and the limits of the machine that it compares with: measured when this is called.
#pragma once

#include "core/graph/kernel.h"
#include "core/train/profile.h"
#include "dist/mesh.h"

namespace synthesizer {

// `peak_flops`: of this rank's products, a second. `mesh` outlives the profile.
ProfileOptions profile_options(int64_t steps, const Mesh& mesh, int rank, double peak_flops,
                               const KernelTable& kernels);

}  // namespace synthesizer
