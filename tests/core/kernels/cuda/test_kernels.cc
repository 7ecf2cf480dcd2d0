#include "tests/support/test_kernels.h"

#include <gtest/gtest.h>

#include "tests/core/kernels/cuda/cpu_products.h"
#include "tests/core/kernels/cuda/device_check.h"
#include "tests/core/kernels/cuda/owned_kernels.h"
#include "tests/support/cuda_shim/control.h"

namespace synthesizer {

std::unique_ptr<KernelTable> make_test_kernels(int, KernelCounters* counters, bool) {
  return std::make_unique<OwnedCudaKernels<cuda::CpuProducts>>(counters);
}

// Threads and blocks in other orders than that in which tests of ops have them: what is not ordered by a barrier gives
// something else in one of them.
std::vector<KernelVariant> kernel_variants() {
  std::vector<KernelVariant> variants;
  for (const auto& [name, schedule] :
       {std::pair{"backward", cuda_shim::Schedule::kBackward}, std::pair{"shuffled", cuda_shim::Schedule::kShuffled}})
    variants.push_back({name, "all", [schedule = schedule] {
                          cuda_shim::set_schedule(schedule, 1);
                          return make_test_kernels();
                        }});
  return variants;
}

std::vector<const std::type_info*> ops_with_kernels() { return cuda_ops_with_kernels(); }

void cuda::check_captures() { EXPECT_EQ(cuda_shim::capture_violations(), 0); }

}  // namespace synthesizer
