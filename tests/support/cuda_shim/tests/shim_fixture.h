// What the tests of the stand-in share: a clean state before and after each, and shorter launches.
#pragma once

#include <cuda_runtime.h>
#include <gmock/gmock.h>

#include <utility>
#include <vector>

#include "tests/support/cuda_shim/control.h"

namespace cuda_shim {

class ShimTest : public testing::Test {
 protected:
  void SetUp() override { reset(); }
  void TearDown() override {
    EXPECT_EQ(live_allocations(), 0);
    EXPECT_EQ(live_handles(), 0);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    reset();
  }
};

template <typename... Expected, typename... Actual>
cudaError_t launch_on(cudaStream_t stream, dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(Expected...),
                      Actual&&... arguments) {
  cudaLaunchConfig_t config{grid, block, shared_bytes, stream};
  return cudaLaunchKernelEx(&config, kernel, std::forward<Actual>(arguments)...);
}

template <typename... Expected, typename... Actual>
cudaError_t launch_kernel(dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(Expected...),
                          Actual&&... arguments) {
  return launch_on(nullptr, grid, block, shared_bytes, kernel, std::forward<Actual>(arguments)...);
}

// A name for the run's message; all orders that a kernel must be right under.
struct NamedSchedule {
  const char* name;
  Schedule schedule;
  uint64_t seed;
};
inline const std::vector<NamedSchedule>& all_schedules() {
  static const std::vector<NamedSchedule> all = {{"forward", Schedule::kForward, 0},
                                                 {"backward", Schedule::kBackward, 0},
                                                 {"shuffled 1", Schedule::kShuffled, 1},
                                                 {"shuffled 2", Schedule::kShuffled, 2}};
  return all;
}

}  // namespace cuda_shim
