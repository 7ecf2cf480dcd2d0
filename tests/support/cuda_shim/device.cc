// The one device: an H100 but for its few processors.
#include "tests/support/cuda_shim/include/cuda_shim/host_api.h"
#include "tests/support/cuda_shim/runtime.h"

using cuda_shim::check_driver;
using cuda_shim::note;

namespace {

constexpr int kProcessors = 4, kVersion = 13000;

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (count == nullptr) return note(cudaErrorInvalidValue);
  const std::lock_guard lock(cuda_shim::state_mutex());
  *count = cuda_shim::settings().device_count;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) return error;
  return device >= 0 && device < count ? cudaSuccess : note(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int* device) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (device == nullptr) return note(cudaErrorInvalidValue);
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (const cudaError_t error = cudaSetDevice(device); error != cudaSuccess) return error;
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device); error != cudaSuccess) return error;
  if (value == nullptr) return note(cudaErrorInvalidValue);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxBlockDimX:
      *value = properties.maxThreadsDim[0];
      break;
    case cudaDevAttrMaxBlockDimY:
      *value = properties.maxThreadsDim[1];
      break;
    case cudaDevAttrMaxBlockDimZ:
      *value = properties.maxThreadsDim[2];
      break;
    case cudaDevAttrMaxGridDimX:
      *value = properties.maxGridSize[0];
      break;
    case cudaDevAttrMaxGridDimY:
      *value = properties.maxGridSize[1];
      break;
    case cudaDevAttrMaxGridDimZ:
      *value = properties.maxGridSize[2];
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      break;
    case cudaDevAttrWarpSize:
      *value = properties.warpSize;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
      *value = properties.regsPerBlock;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrL2CacheSize:
      *value = properties.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = properties.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrUnifiedAddressing:
      *value = 1;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(properties.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = properties.regsPerMultiprocessor;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *value = static_cast<int>(properties.reservedSharedMemPerBlock);
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = 0;
      break;
    default:
      return note(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (const cudaError_t error = cudaSetDevice(device); error != cudaSuccess) return error;
  if (properties == nullptr) return note(cudaErrorInvalidValue);
  size_t total = 0;
  {
    const std::lock_guard lock(cuda_shim::state_mutex());
    total = cuda_shim::settings().device_memory;
  }
  *properties = {.name = "shim",
                 .uuid = {"cuda shim"},
                 .totalGlobalMem = total,
                 .sharedMemPerBlock = size_t{48} << 10,
                 .regsPerBlock = 65536,
                 .warpSize = 32,
                 .maxThreadsPerBlock = 1024,
                 .maxThreadsDim = {1024, 1024, 64},
                 .maxGridSize = {0x7fffffff, 65535, 65535},
                 .totalConstMem = size_t{64} << 10,
                 .major = 9,
                 .minor = 0,
                 .multiProcessorCount = kProcessors,
                 .memoryBusWidth = 5120,
                 .l2CacheSize = 50 << 20,
                 .maxThreadsPerMultiProcessor = 2048,
                 .sharedMemPerMultiprocessor = size_t{228} << 10,
                 .regsPerMultiprocessor = 65536,
                 .sharedMemPerBlockOptin = size_t{227} << 10,
                 .reservedSharedMemPerBlock = size_t{1} << 10};
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  return note(cuda_shim::check_no_capture(cuda_shim::Waits::kDevice));
}

// 0, without an error, where there is no driver.
cudaError_t cudaDriverGetVersion(int* version) {
  if (version == nullptr) return note(cudaErrorInvalidValue);
  *version = check_driver() == cudaSuccess ? kVersion : 0;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return note(cudaErrorInvalidValue);
  *version = kVersion;
  return cudaSuccess;
}
