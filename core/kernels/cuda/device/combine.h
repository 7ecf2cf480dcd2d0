// The last step of sums in groups: what each group has found, combined in a fixed order.
#pragma once

#include <algorithm>
#include <bit>

#include "core/kernels/cuda/device/sums.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {

// partial: [groups, outputs], y: [outputs]. A block has `together` outputs (a power of two), each in 256 / together
// threads: where outputs are few, groups lie side by side and are read so. All threads of the block call it.
template <typename F, typename Partial, typename Out>
__device__ void combine_block(const Partial* partial, Out* y, int64_t groups, int64_t outputs, int together,
                              int64_t block) {
  double* const space = reinterpret_cast<double*>(shared_memory());
  const int64_t out = block * together + threadIdx.x % together;
  const int shares = static_cast<int>(blockDim.x) / together, share = static_cast<int>(threadIdx.x) / together;
  double sum = F::start();
  if (out < outputs)
    for (int64_t g = share; g < groups; g += shares)
      sum = F::join(sum, static_cast<double>(partial[g * outputs + out]));
  space[threadIdx.x] = sum;
  for (int apart = shares / 2; apart > 0; apart /= 2) {
    __syncthreads();
    if (share < apart)
      space[threadIdx.x] = F::join(space[threadIdx.x], space[threadIdx.x + static_cast<unsigned>(apart * together)]);
  }
  if (share == 0 && out < outputs) y[out] = rounded<Out>(space[threadIdx.x]);
}

// partial: [part, groups, outputs], y: [part, outputs]; blockIdx.y is the part.
template <typename F, typename Partial, typename Out>
__global__ void combine_kernel(const Partial* partial, Out* y, int64_t groups, int64_t outputs, int together) {
  const int64_t part = blockIdx.y;
  combine_block<F>(partial + part * groups * outputs, y + part * outputs, groups, outputs, together, blockIdx.x);
}

inline int combined_together(int64_t outputs) {
  return static_cast<int>(std::bit_ceil(static_cast<uint64_t>(std::min<int64_t>(outputs, kWarp))));
}

// The order depends on `groups` and `outputs` alone.
template <typename F, typename Partial, typename Out>
void combine(cudaStream_t stream, const Partial* partial, Out* y, int64_t groups, int64_t outputs, int64_t parts = 1) {
  const int together = combined_together(outputs);
  launch(stream, {"combine_kernel", (outputs + together - 1) / together, kThreads, kThreads * 8, parts},
         combine_kernel<F, Partial, Out>, partial, y, groups, outputs, together);
}

}  // namespace synthesizer::cuda
