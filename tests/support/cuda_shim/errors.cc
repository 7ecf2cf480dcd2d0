// The errors' names and texts, and the last one of each host thread.
#include <utility>

#include "tests/support/cuda_shim/include/cuda_shim/host_api.h"
#include "tests/support/cuda_shim/runtime.h"

namespace {

thread_local cudaError_t g_last_error = cudaSuccess;

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

cudaError_t cuda_shim::note(cudaError_t error) {
  if (error != cudaSuccess) g_last_error = error;
  return error;
}

const char* cudaGetErrorName(cudaError_t error) { return find(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return find(error).text; }
cudaError_t cudaGetLastError() { return std::exchange(g_last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return g_last_error; }
