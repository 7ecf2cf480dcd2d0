// Starting kernels on a stream, and the shapes of their grids.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/base/error.h"

namespace synthesizer::cuda {

inline constexpr int kThreads = 256;  // of a block, where nothing else asks for another number

// Throws Error "[cuda] what: CUDA's own words" unless `status` is success.
void check(cudaError_t status, const char* what);
// Told of every launch by name, if it is set: for tests.
using LaunchListener = void (*)(const char* kernel);
void listen_to_launches(LaunchListener listener);
void tell_launch(const char* kernel);

// `name`: the __global__ function's, for messages.
struct Grid {
  const char* name;
  int64_t blocks;  // along x
  int threads = kThreads;
  int64_t shared_bytes = 0;
  int64_t blocks_y = 1, blocks_z = 1;
};

// Enough blocks for one thread an element, but no more than keep the largest device busy: kernels loop by the grid.
inline int64_t blocks_for(int64_t elements, int threads = kThreads) {
  constexpr int64_t kMost = 132 * 16;
  return std::clamp<int64_t>((elements + threads - 1) / threads, 1, kMost);
}

// Launches nothing if there are no blocks.
template <typename... Parameters, typename... Arguments>
void launch(cudaStream_t stream, const Grid& grid, void (*kernel)(Parameters...), Arguments&&... arguments) {
  if (grid.blocks == 0 || grid.blocks_y == 0 || grid.blocks_z == 0) return;
  constexpr int64_t kSharedUnasked = 48 << 10;
  if (grid.shared_bytes > kSharedUnasked)
    check(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared_bytes)),
        grid.name);
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(grid.blocks), static_cast<unsigned>(grid.blocks_y),
                        static_cast<unsigned>(grid.blocks_z));
  config.blockDim = dim3(static_cast<unsigned>(grid.threads));
  config.dynamicSmemBytes = static_cast<size_t>(grid.shared_bytes);
  config.stream = stream;
  tell_launch(grid.name);
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...), grid.name);
}

}  // namespace synthesizer::cuda
