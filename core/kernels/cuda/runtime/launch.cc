#include "core/kernels/cuda/runtime/launch.h"

#include <atomic>

namespace synthesizer::cuda {
namespace {

std::atomic<LaunchListener> launch_listener = nullptr;

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // what is not sticky is not to be found again by a later call
  fail("[cuda] {}: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
}

void listen_to_launches(LaunchListener listener) { launch_listener = listener; }

void tell_launch(const char* kernel) {
  if (const LaunchListener listener = launch_listener.load(std::memory_order_relaxed)) listener(kernel);
}

}  // namespace synthesizer::cuda
