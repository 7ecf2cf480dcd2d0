// What this machine gives a rank: how fast its products and its memory are.
#pragma once

#include "core/graph/kernel.h"
#include "core/tensor/dtype.h"

namespace synthesizer {

// Processor time of the calling thread, in seconds: what a core can do, also while other programs have it for a part of
// the time. A kernel's threads work alike, so that of the one that calls it stands for all.
double thread_seconds();

// Measured floating-point operations a second of this rank's products, of `dtype`: the fastest of a few large ones.
double product_peak(DType dtype, int threads);

// The same of the device of these kernels.
double product_peak(DType dtype, const KernelTable& kernels);

// Measured bytes a second to and from memory, of a sum of arrays that no cache holds: the fastest of a few.
// They take 192 MiB meanwhile, which the process's peak memory then has in it.
double memory_peak(const KernelTable& kernels);

// Measured bytes a second between the host's pinned memory and a device's.
struct HostLink {
  double to_device = 0, to_host = 0;
};
HostLink host_link(Device& device);

}  // namespace synthesizer
