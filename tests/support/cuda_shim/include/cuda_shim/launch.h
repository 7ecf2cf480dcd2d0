// Launching a kernel, with the checks that CUDA's runtime makes.
#pragma once

#include <cstddef>
#include <functional>
#include <tuple>
#include <utility>

#include "cuda_shim/host_types.h"
#include "cuda_shim/vector_types.h"

enum cudaLaunchAttributeID {
  cudaLaunchAttributeIgnore = 0,
  cudaLaunchAttributeCooperative = 2,
  cudaLaunchAttributeClusterDimension = 4,
  cudaLaunchAttributeProgrammaticStreamSerialization = 6,
  cudaLaunchAttributePriority = 8,
};
union cudaLaunchAttributeValue {
  char pad[64];
  int cooperative;
  struct {
    unsigned x, y, z;
  } clusterDim;
  int programmaticStreamSerializationAllowed;
  int priority;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

namespace cuda_shim {

// Runs `thread` once for each thread of the grid, or records that where the stream captures. `kernel` tells kernels
// apart. Returns cudaErrorInvalidConfiguration for a grid or block that is empty or too large, cudaErrorInvalidValue
// for more dynamic shared memory than the kernel may have, cudaErrorNotSupported for clusters and cooperative grids.
// Throws std::runtime_error if the block cannot go on, or what a thread threw.
cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> thread);

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value);

}  // namespace cuda_shim

// Arguments are converted and copied now, whenever the kernel runs.
template <typename... ExpTypes, typename... ActTypes>
inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(ExpTypes...),
                                      ActTypes&&... args) {
  static_assert(sizeof...(ExpTypes) == sizeof...(ActTypes), "as many arguments as the kernel has");
  if (config == nullptr || kernel == nullptr) return cudaErrorInvalidValue;
  return cuda_shim::launch(
      *config, reinterpret_cast<const void*>(kernel),
      [kernel, values = std::tuple<ExpTypes...>(static_cast<ExpTypes>(args)...)] { std::apply(kernel, values); });
}

// A kernel may have 48 KiB of dynamic shared memory; with cudaFuncAttributeMaxDynamicSharedMemorySize up to 227 KiB.
template <typename T>
inline cudaError_t cudaFuncSetAttribute(T* kernel, cudaFuncAttribute attribute, int value) {
  return cuda_shim::set_attribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
