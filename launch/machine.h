// What this machine gives a rank: threads, and how fast matrix products can be.
#pragma once

#include "core/tensor/dtype.h"

namespace synthesizer {

// Threads a rank computes with: OMP_NUM_THREADS if it is set, else its share of the host's cores, of which the launcher
// may have bound it to some.
int threads_of_rank(int ranks_on_host);

// Processor time of the calling thread, in seconds: what a core can do, also while other programs have it for a part of
// the time. A kernel's threads work alike, so that of the one that calls it stands for all.
double thread_seconds();

// Measured floating-point operations a second of this rank's products, of `dtype`: the fastest of a few large ones.
double product_peak(DType dtype, int threads);

}  // namespace synthesizer
