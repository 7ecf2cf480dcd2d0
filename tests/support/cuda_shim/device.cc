// The one device, the errors, and what tests set and count.
#include <algorithm>
#include <cstring>

#include "tests/support/cuda_shim/include/cuda_shim/host_api.h"
#include "tests/support/cuda_shim/runtime.h"

namespace {

thread_local cudaError_t g_last_error = cudaSuccess;

constexpr int kProcessors = 4, kVersion = 13000;

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
#define CUDA_SHIM_ERROR(name, text) \
  { name, #name, text }
constexpr ErrorText kErrors[] = {
    CUDA_SHIM_ERROR(cudaSuccess, "no error"),
    CUDA_SHIM_ERROR(cudaErrorInvalidValue, "invalid argument"),
    CUDA_SHIM_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    CUDA_SHIM_ERROR(cudaErrorInitializationError, "initialization error"),
    CUDA_SHIM_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    CUDA_SHIM_ERROR(cudaErrorInvalidSymbol, "invalid device symbol"),
    CUDA_SHIM_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    CUDA_SHIM_ERROR(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
    CUDA_SHIM_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    CUDA_SHIM_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    CUDA_SHIM_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    CUDA_SHIM_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    CUDA_SHIM_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    CUDA_SHIM_ERROR(cudaErrorNotReady, "device not ready"),
    CUDA_SHIM_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    CUDA_SHIM_ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    CUDA_SHIM_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    CUDA_SHIM_ERROR(cudaErrorNotPermitted, "operation not permitted"),
    CUDA_SHIM_ERROR(cudaErrorNotSupported, "operation not supported"),
    CUDA_SHIM_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    CUDA_SHIM_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    CUDA_SHIM_ERROR(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences"),
    CUDA_SHIM_ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    CUDA_SHIM_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    CUDA_SHIM_ERROR(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    CUDA_SHIM_ERROR(cudaErrorStreamCaptureImplicit,
                    "operation would make the legacy stream depend on a capturing blocking stream"),
    CUDA_SHIM_ERROR(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream"),
    CUDA_SHIM_ERROR(cudaErrorStreamCaptureWrongThread,
                    "attempt to terminate a thread-local capture sequence from another thread"),
    CUDA_SHIM_ERROR(cudaErrorUnknown, "unknown error"),
};
#undef CUDA_SHIM_ERROR

const ErrorText& find(cudaError_t error) {
  static constexpr ErrorText unknown{cudaErrorUnknown, "unrecognized error code", "unrecognized error code"};
  for (const ErrorText& known : kErrors)
    if (known.error == error) return known;
  return unknown;
}

}  // namespace

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

cudaError_t note(cudaError_t error) {
  if (error != cudaSuccess) g_last_error = error;
  return error;
}

cudaError_t check_driver() {
  const std::lock_guard lock(state_mutex());
  return settings().device_count == 0 ? cudaErrorInsufficientDriver : cudaSuccess;
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

using cuda_shim::check_driver;
using cuda_shim::note;

const char* cudaGetErrorName(cudaError_t error) { return find(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return find(error).text; }
cudaError_t cudaGetLastError() { return std::exchange(g_last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return g_last_error; }

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
  // An H100 but for its few processors.
  *properties = {.name = "shim",
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
