// What the sources of the stand-in share on the host's side: the state that control.h sets, streams, captures.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "tests/support/cuda_shim/control.h"
#include "tests/support/cuda_shim/include/cuda_shim/host_types.h"
#include "tests/support/cuda_shim/order.h"

namespace cuda_shim {

// What the tests set and count.
struct Settings {
  Schedule schedule = Schedule::kForward;
  uint64_t seed = 0;
  int64_t failing_allocation = 0;
  size_t device_memory = size_t{8} << 30;
  int device_count = 1;
  int64_t kernels_run = 0;
  int64_t capture_violations = 0;
};

struct GraphNode {
  std::function<void()> work;
  std::set<int> after;  // nodes, by index
};

struct Capture {
  cudaStreamCaptureMode mode;
  cudaStream_t origin;
  std::thread::id thread;  // that began it
  bool invalid = false;
  bool ended = false;
  std::vector<GraphNode> nodes;
  std::set<cudaStream_t> streams;  // origin and those that joined
};

}  // namespace cuda_shim

struct CUstream_st {
  unsigned flags = 0;
  std::shared_ptr<cuda_shim::Capture> capture;  // while it captures
  std::set<int> after;                          // the nodes that what comes next depends on
};

struct CUevent_st {
  unsigned flags = 0;
  bool recorded = false;
  int64_t nanoseconds = 0;                      // when
  std::shared_ptr<cuda_shim::Capture> capture;  // that recorded it last
  std::set<int> after;
};

namespace cuda_shim {

// Of all that follows and of all handles. Never held while work runs.
std::mutex& state_mutex();
Settings& settings();

struct Handles {
  std::set<cudaStream_t> streams;
  std::set<cudaEvent_t> events;
  std::set<cudaGraph_t> graphs;
  std::set<cudaGraphExec_t> execs;
  std::vector<std::shared_ptr<Capture>> captures;  // that go on
};
Handles& handles();

// Bytes of cudaMalloc that are not freed, blocks of it, and of pinned memory.
struct LiveMemory {
  int64_t bytes = 0, blocks = 0, pinned = 0;
};
LiveMemory live_memory();

// Keeps an error for cudaGetLastError of this thread, and returns it.
cudaError_t note(cudaError_t error);

// Alone among all host functions of the process; it must not call CUDA.
void run_host_function(cudaHostFn_t function, void* data);

// cudaErrorInsufficientDriver if tests asked for a machine without a driver, cudaErrorNotPermitted in a host function.
cudaError_t check_driver();

// What a call waits for, or that it allocates.
enum class Waits { kDevice, kStream, kEvent, kAllocates };
// cudaErrorStreamCaptureUnsupported, counted, if a capture forbids this thread such a call; the captures that do are
// then invalid, as CUDA has it. `stream`, `event`: what is waited for.
cudaError_t check_no_capture(Waits waits, cudaStream_t stream = nullptr, cudaEvent_t event = nullptr);

// Does the work now, or records it if the stream captures.
cudaError_t submit(cudaStream_t stream, std::function<void()> work);

// Runs nodes in an order that `after` allows and the schedule chooses.
void run_nodes(const std::vector<GraphNode>& nodes);

// The orders of the schedule set now.
Orders orders();

}  // namespace cuda_shim
