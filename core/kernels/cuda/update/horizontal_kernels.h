// Horizontal fusions (core/ops/horizontal.h) that are one launch each, or a few, whatever the number of their parts.
#pragma once

#include "core/kernels/cuda/kernel_case.h"

namespace synthesizer::cuda {

// Of chains of one type and order.
std::unique_ptr<Kernel> make_chains(const KernelCase& c);
int64_t chains_workspace(const KernelCase& c);
// Of AdamW, in place, of one type and with the same options.
std::unique_ptr<Kernel> make_adamws(const KernelCase& c);
int64_t adamws_workspace(const KernelCase& c);

}  // namespace synthesizer::cuda
