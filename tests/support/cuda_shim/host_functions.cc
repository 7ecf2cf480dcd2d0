// Host functions of streams: all of the process as if on one thread, where one that waits for another waits for ever.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "tests/support/cuda_shim/include/cuda_shim/host_api.h"
#include "tests/support/cuda_shim/runtime.h"

namespace cuda_shim {
namespace {

constexpr std::chrono::seconds kMostWaiting{60};

thread_local bool g_in_host_function = false;

}  // namespace

cudaError_t check_driver() {
  if (g_in_host_function) return cudaErrorNotPermitted;
  const std::lock_guard lock(state_mutex());
  return settings().device_count == 0 ? cudaErrorInsufficientDriver : cudaSuccess;
}

void run_host_function(cudaHostFn_t function, void* data) {
  static std::timed_mutex one_at_a_time;
  const std::unique_lock lock(one_at_a_time, kMostWaiting);
  if (!lock.owns_lock()) {
    std::fputs("cuda_shim: a host function has not ended for a minute: it waits for one of another stream\n", stderr);
    std::abort();
  }
  g_in_host_function = true;
  function(data);
  g_in_host_function = false;
}

}  // namespace cuda_shim
