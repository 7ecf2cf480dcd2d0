// The kernels that a test program is built for. Tests of ops and kernels ask for them here alone, so that the same
// sources are the tests of every device: tests/support/cpu_test_kernels.cc, tests/core/kernels/cuda/test_kernels.cc.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <typeinfo>
#include <vector>

#include "core/graph/kernel.h"

namespace synthesizer {

// `threads` and `same_bits` are for the CPU (core/kernels/cpu/cpu_kernels.h).
std::unique_ptr<KernelTable> make_test_kernels(int threads = 1, KernelCounters* counters = nullptr,
                                               bool same_bits = false);

// A way in which every kernel may be run.
struct KernelVariant {
  std::string name;
  std::string same;  // variants of one text give the same bits, but where sums of float32 may be split among threads
  std::function<std::unique_ptr<KernelTable>()> make;
};
std::vector<KernelVariant> kernel_variants();

// The classes of the ops that there are kernels for.
std::vector<const std::type_info*> ops_with_kernels();

}  // namespace synthesizer
