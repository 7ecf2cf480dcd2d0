// Streams and events. Work is done when it is submitted, so there is nothing to wait for; what is kept is order within
// captures.
#include <chrono>

#include "tests/support/cuda_shim/include/cuda_shim/host_api.h"
#include "tests/support/cuda_shim/runtime.h"

using cuda_shim::check_driver;
using cuda_shim::check_no_capture;
using cuda_shim::handles;
using cuda_shim::note;
using cuda_shim::state_mutex;
using cuda_shim::Waits;

namespace {

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

bool known(cudaStream_t stream) { return stream == nullptr || handles().streams.count(stream) != 0; }
bool known(cudaEvent_t event) { return handles().events.count(event) != 0; }

cudaError_t check_stream_done(cudaStream_t stream) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  {
    const std::lock_guard lock(state_mutex());
    if (!known(stream)) return note(cudaErrorInvalidResourceHandle);
  }
  return note(check_no_capture(stream == nullptr ? Waits::kDevice : Waits::kStream, stream));
}

cudaError_t check_event_done(cudaEvent_t event) {
  {
    const std::lock_guard lock(state_mutex());
    if (!known(event)) return note(cudaErrorInvalidResourceHandle);
  }
  if (const cudaError_t error = check_no_capture(Waits::kEvent, nullptr, event); error != cudaSuccess)
    return note(error);
  const std::lock_guard lock(state_mutex());
  return event->capture == nullptr ? cudaSuccess : note(cudaErrorCapturedEvent);
}

}  // namespace

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (stream == nullptr || flags > cudaStreamNonBlocking) return note(cudaErrorInvalidValue);
  const std::lock_guard lock(state_mutex());
  *stream = new CUstream_st{flags, nullptr, {}};
  handles().streams.insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(state_mutex());
  if (stream == nullptr || !known(stream)) return note(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) {
    ++cuda_shim::settings().capture_violations;
    return note(cudaErrorStreamCaptureUnsupported);
  }
  handles().streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return check_stream_done(stream); }
cudaError_t cudaStreamQuery(cudaStream_t stream) { return check_stream_done(stream); }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  const std::lock_guard lock(state_mutex());
  if (!known(stream) || !known(event)) return note(cudaErrorInvalidResourceHandle);
  const std::shared_ptr<cuda_shim::Capture> of_event = event->capture;
  if (stream == nullptr) return of_event == nullptr ? cudaSuccess : note(cudaErrorStreamCaptureImplicit);
  if (of_event == nullptr)
    return stream->capture == nullptr || !event->recorded ? cudaSuccess : note(cudaErrorStreamCaptureIsolation);
  if (of_event->ended)
    return note(stream->capture == nullptr ? cudaErrorCapturedEvent : cudaErrorStreamCaptureIsolation);
  if (of_event->invalid) return note(cudaErrorStreamCaptureInvalidated);
  if (stream->capture == nullptr) {
    stream->capture = of_event;
    of_event->streams.insert(stream);
    stream->after.clear();
  } else if (stream->capture != of_event) {
    return note(cudaErrorStreamCaptureMerge);
  }
  stream->after.insert(event->after.begin(), event->after.end());
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (function == nullptr) return note(cudaErrorInvalidValue);
  return cuda_shim::submit(stream, [function, data] { cuda_shim::run_host_function(function, data); });
}

cudaError_t cuda_shim::run_as_kernel(cudaStream_t stream, cudaHostFn_t work, void* data) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  return submit(stream, [work, data] { work(data); });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  if (event == nullptr) return note(cudaErrorInvalidValue);
  const std::lock_guard lock(state_mutex());
  *event = new CUevent_st{flags, false, 0, nullptr, {}};
  handles().events.insert(*event);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (const cudaError_t error = check_driver(); error != cudaSuccess) return note(error);
  const std::lock_guard lock(state_mutex());
  if (!known(stream) || !known(event)) return note(cudaErrorInvalidResourceHandle);
  if (stream != nullptr && stream->capture != nullptr && stream->capture->invalid)
    return note(cudaErrorStreamCaptureInvalidated);
  event->recorded = true;
  event->nanoseconds = now();
  event->capture = stream == nullptr ? nullptr : stream->capture;
  event->after = event->capture == nullptr ? std::set<int>{} : stream->after;
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) { return check_event_done(event); }
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return check_event_done(event); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const std::lock_guard lock(state_mutex());
  if (milliseconds == nullptr) return note(cudaErrorInvalidValue);
  for (cudaEvent_t event : {start, end})
    if (!known(event) || !event->recorded || event->capture != nullptr || (event->flags & cudaEventDisableTiming) != 0)
      return note(cudaErrorInvalidResourceHandle);
  *milliseconds = static_cast<float>(end->nanoseconds - start->nanoseconds) * 1e-6f;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard lock(state_mutex());
  if (!known(event)) return note(cudaErrorInvalidResourceHandle);
  handles().events.erase(event);
  delete event;
  return cudaSuccess;
}
