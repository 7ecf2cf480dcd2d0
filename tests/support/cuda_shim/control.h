// What a test sets and asks of the stand-in for CUDA: the order in which threads run, failures, and counts of what is
// left or went wrong. Of the process, for all host threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cuda_shim {

// In what order the runnable threads of a block run, the blocks of a grid, and those nodes of a graph that nothing
// orders. A thread runs until it waits. A kernel that lacks a barrier gives other results under some other order.
enum class Schedule {
  kForward,   // lowest first
  kBackward,  // highest first
  kShuffled,  // at random; threads in another order after each barrier. The same seed gives the same orders.
};
void set_schedule(Schedule schedule, uint64_t seed = 0);

// What has been made and not yet destroyed.
int64_t live_allocations();  // of cudaMalloc
int64_t live_bytes();        // of cudaMalloc
int64_t live_handles();      // pinned memory, streams, events, graphs and their executables

// Kernels run since the last reset(), those of graphs included.
int64_t kernels_run();
// Calls since the last reset() that a capture forbids (they returned cudaErrorStreamCaptureUnsupported).
int64_t capture_violations();

// The n-th cudaMalloc from now on fails with cudaErrorMemoryAllocation: 1 is the next one, 0 none.
void fail_allocation(int64_t n);
// Bytes of device memory; what is allocated counts. 8 GiB unless told.
void set_device_memory(size_t bytes);
// 0: as on a machine without a driver, cudaGetDeviceCount and what needs a device return cudaErrorInsufficientDriver.
void set_device_count(int count);

// All of the above as at the start of the program; what is live stays.
void reset();

}  // namespace cuda_shim
