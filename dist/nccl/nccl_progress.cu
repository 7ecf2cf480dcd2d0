#include <atomic>

#include "core/kernels/cuda/runtime/launch.h"
#include "dist/nccl/nccl_progress.h"

namespace synthesizer {
namespace {

// One store, so that the host sees both halves of the same moment; where tests run it on the CPU, as threads want it.
__device__ void show_host(uint64_t* seen, uint64_t value) {
#ifdef __CUDACC__
  *static_cast<volatile uint64_t*>(seen) = value;
#else
  std::atomic_ref(*seen).store(value, std::memory_order_relaxed);
#endif
}

// The count is kept here, as reading across the bus takes longer than all the rest.
__global__ void progress_kernel(uint32_t* changes, uint64_t* seen, uint32_t call) {
  if (threadIdx.x == 0) show_host(seen, static_cast<uint64_t>(++*changes) << 32 | call);
}

}  // namespace

NcclProgress::NcclProgress(cudaStream_t stream) : stream_(stream) {
  void *device = nullptr, *host = nullptr;
  cuda::check(cudaMalloc(&device, sizeof(*changes_)), "allocating a counter");
  changes_ = static_cast<uint32_t*>(device);
  if (const cudaError_t status = cudaMallocHost(&host, sizeof(*seen_)); status != cudaSuccess) {
    cudaFree(changes_);
    cuda::check(status, "allocating a counter");
  }
  seen_ = static_cast<uint64_t*>(host);
  *seen_ = 0;
  cuda::check(cudaMemsetAsync(changes_, 0, sizeof(*changes_), stream_), "clearing a counter");
}

NcclProgress::~NcclProgress() {
  cudaFreeHost(seen_);
  cudaFree(changes_);
}

void NcclProgress::mark(int32_t call) {
  constexpr int kWarp = 32;
  cuda::launch(stream_, {"progress_kernel", 1, kWarp}, progress_kernel, changes_, seen_, static_cast<uint32_t>(call));
}

NcclProgress::Seen NcclProgress::seen() const {
  const uint64_t both = std::atomic_ref(*seen_).load(std::memory_order_relaxed);
  return {static_cast<int32_t>(both & 0xffffffffu), static_cast<uint32_t>(both >> 32)};
}

}  // namespace synthesizer
