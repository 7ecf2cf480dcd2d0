// What tests set and count, and the rest of the state.
#include "tests/support/cuda_shim/control.h"

#include "tests/support/cuda_shim/runtime.h"

namespace cuda_shim {

std::mutex& state_mutex() {
  static std::mutex mutex;
  return mutex;
}
Settings& settings() {
  static Settings settings;
  return settings;
}
Handles& handles() {
  static Handles handles;
  return handles;
}

Orders orders() {
  const std::lock_guard lock(state_mutex());
  return Orders(settings().schedule, settings().seed);
}

void set_schedule(Schedule schedule, uint64_t seed) {
  const std::lock_guard lock(state_mutex());
  settings().schedule = schedule;
  settings().seed = seed;
}

int64_t live_allocations() { return live_memory().blocks; }
int64_t live_bytes() { return live_memory().bytes; }
int64_t live_handles() {
  const int64_t pinned = live_memory().pinned;
  const std::lock_guard lock(state_mutex());
  const Handles& all = handles();
  return pinned + static_cast<int64_t>(all.streams.size() + all.events.size() + all.graphs.size() + all.execs.size());
}
int64_t kernels_run() {
  const std::lock_guard lock(state_mutex());
  return settings().kernels_run;
}
int64_t capture_violations() {
  const std::lock_guard lock(state_mutex());
  return settings().capture_violations;
}
void fail_allocation(int64_t n) {
  const std::lock_guard lock(state_mutex());
  settings().failing_allocation = n;
}
void set_device_memory(size_t bytes) {
  const std::lock_guard lock(state_mutex());
  settings().device_memory = bytes;
}
void set_device_count(int count) {
  const std::lock_guard lock(state_mutex());
  settings().device_count = count;
}
void reset() {
  const std::lock_guard lock(state_mutex());
  settings() = Settings();
}

}  // namespace cuda_shim
