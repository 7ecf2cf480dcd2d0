#include "core/kernels/cuda/runtime/cuda_device.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <utility>

#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {

// What host functions of the streams have thrown, and where each finds its work.
class HostCalls {
 public:
  struct Call {
    HostCalls* calls;
    const std::function<void()>* work;
  };

  // The same for the same work, so that a captured one is there again and again.
  Call* call(const std::function<void()>& work) {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<Call>& call = all_[&work];
    if (call == nullptr) call = std::make_unique<Call>(Call{this, &work});
    return call.get();
  }
  static void run(void* data) {
    const Call& call = *static_cast<const Call*>(data);
    if (call.calls->failed_) return;
    try {
      (*call.work)();
    } catch (...) {
      call.calls->stop(std::current_exception());
    }
  }
  // The first error stays.
  void stop(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (failed_) return;
    error_ = std::move(error);
    failed_ = true;
  }
  void rethrow() {
    if (failed_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::map<const void*, std::unique_ptr<Call>> all_;
  std::atomic<bool> failed_ = false;
  std::exception_ptr error_;
};

namespace {

class Event {
 public:
  // `flags`: 0 for one that has a time.
  explicit Event(unsigned flags = cudaEventDisableTiming) {
    check(cudaEventCreateWithFlags(&event_, flags), "making an event");
  }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}

  void record(cudaStream_t stream) const { check(cudaEventRecord(event_, stream), "recording an event"); }
  void hold(cudaStream_t stream) const { check(cudaStreamWaitEvent(stream, event_, 0), "waiting for an event"); }
  void wait() const { check(cudaEventSynchronize(event_), "waiting for an event"); }
  float milliseconds_since(const Event& earlier) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "reading an event's time");
    return milliseconds;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Jobs on a stream of their own: each comes after what was given to the other stream before it.
class StreamLane : public Lane {
 public:
  StreamLane(cudaStream_t compute, cudaStream_t own, std::vector<std::function<void()>> jobs)
      : compute_(compute), own_(own), jobs_(std::move(jobs)), ready_(jobs_.size()), done_(jobs_.size()) {}

  void submit(size_t job) override {
    ready_[job].record(compute_);
    ready_[job].hold(own_);
    jobs_[job]();
    done_[job].record(own_);
    last_ = &done_[job];
  }
  void wait(size_t job) override { done_[job].hold(compute_); }
  void finish() override {
    if (last_ != nullptr) last_->hold(compute_);
    last_ = nullptr;
  }

 private:
  cudaStream_t compute_, own_;
  std::vector<std::function<void()>> jobs_;
  std::vector<Event> ready_, done_;
  const Event* last_ = nullptr;
};

// The first run is made as it is (libraries choose and allocate then), the second is captured into a graph, which is
// launched from then on; but for a device whose calls cannot be captured.
class GraphReplay : public Replay {
 public:
  explicit GraphReplay(const CudaDevice& device) : device_(device), stream_(device.stream()) {}
  ~GraphReplay() override {
    if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
  }

  void run(const std::function<void()>& enqueue) override {
    if (!warm_ || device_.calls_on_own_thread()) {
      enqueue();
      warm_ = true;
      return;
    }
    if (graph_ == nullptr) capture(enqueue);
    check(cudaGraphLaunch(graph_, stream_), "launching a step's graph");
  }

 private:
  void capture(const std::function<void()>& enqueue) {
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capturing a step");
    cudaGraph_t captured = nullptr;
    try {
      enqueue();
    } catch (...) {
      cudaStreamEndCapture(stream_, &captured);
      if (captured != nullptr) cudaGraphDestroy(captured);
      throw;
    }
    check(cudaStreamEndCapture(stream_, &captured), "capturing a step");
    const cudaError_t status = cudaGraphInstantiate(&graph_, captured, 0);
    cudaGraphDestroy(captured);
    check(status, "making a step's graph");
  }

  const CudaDevice& device_;
  cudaStream_t stream_;
  bool warm_ = false;
  cudaGraphExec_t graph_ = nullptr;
};

class StreamMark : public Mark {
 public:
  explicit StreamMark(cudaStream_t stream) : stream_(stream) {}
  void set() override {
    event_.record(stream_);
    set_ = true;
  }
  void wait() override {
    if (set_) event_.wait();
  }

 private:
  cudaStream_t stream_;
  Event event_;
  bool set_ = false;
};

class StreamTimer : public Timer {
 public:
  explicit StreamTimer(cudaStream_t stream) : stream_(stream) {}
  void begin() override { begin_.record(stream_); }
  void end() override { end_.record(stream_); }
  double seconds() override {
    end_.wait();
    return static_cast<double>(end_.milliseconds_since(begin_)) * 1e-3;
  }

 private:
  cudaStream_t stream_;
  Event begin_{cudaEventDefault}, end_{cudaEventDefault};
};

constexpr int kOldest = 8;  // sm_80: bfloat16 on tensor cores

cudaStream_t make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  return stream;
}

}  // namespace

int device_count(std::string* why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return count;
  cudaGetLastError();
  if (why != nullptr) *why = cudaGetErrorString(status);
  return 0;
}

CudaDevice::CudaDevice(int index) : index_(index) {
  std::string why = "none was found";
  const int count = device_count(&why);
  if (index >= count) fail("[cuda] no GPU {}: there are {} ({})", index, count, why);
  check(cudaSetDevice(index), "choosing a GPU");
  cudaDeviceProp properties = {};
  check(cudaGetDeviceProperties(&properties, index), "asking a GPU what it is");
  name_ = fmt::format("cuda {} ({})", index, properties.name);
  if (properties.major < kOldest)
    fail("[cuda] {} is sm_{}{}: expected sm_80 or newer", name_, properties.major, properties.minor);
  stream_ = make_stream();
  communication_stream_ = make_stream();
  calls_ = std::make_unique<HostCalls>();
}

CudaDevice::~CudaDevice() {
  cudaStreamDestroy(stream_);
  cudaStreamDestroy(communication_stream_);
}

std::byte* CudaDevice::allocate(int64_t bytes) {
  void* memory = nullptr;
  if (const cudaError_t status = cudaMalloc(&memory, static_cast<size_t>(bytes)); status != cudaSuccess) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    fail("[cuda] {}: could not allocate {} bytes, {} of {} are free: {}", name_, bytes, free, total,
         cudaGetErrorString(status));
  }
  check(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), stream_), "clearing memory");
  allocated_[memory] = bytes;
  bytes_ += bytes;
  peak_ = std::max(peak_, bytes_);
  return static_cast<std::byte*>(memory);
}

void CudaDevice::release(std::byte* memory) noexcept {
  const auto found = allocated_.find(memory);
  bytes_ -= found->second;
  allocated_.erase(found);
  cudaFree(memory);
}

std::byte* CudaDevice::allocate_pinned(int64_t bytes) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, static_cast<size_t>(bytes)), "allocating pinned memory");
  std::memset(memory, 0, static_cast<size_t>(bytes));
  return static_cast<std::byte*>(memory);
}

void CudaDevice::release_pinned(std::byte* memory) noexcept { cudaFreeHost(memory); }

void CudaDevice::upload(void* to, const void* from, int64_t bytes) {
  upload_later(to, from, bytes);
  finish();
}

void CudaDevice::upload_later(void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_), "copying to the GPU");
}

void CudaDevice::download(void* to, const void* from, int64_t bytes) {
  finish();
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_), "copying from the GPU");
  check(cudaStreamSynchronize(stream_), "waiting for the GPU");
}

void CudaDevice::finish() {
  const cudaError_t first = cudaStreamSynchronize(stream_), second = cudaStreamSynchronize(communication_stream_);
  calls_->rethrow();  // it says more than what CUDA then says of the work that it has cut short
  check(first, "waiting for the GPU");
  check(second, "waiting for the GPU");
}

void CudaDevice::call(cudaStream_t stream, const std::function<void()>& work) {
  HostCalls::Call* const call = calls_->call(work);
  if (!calls_on_own_thread_) return check(cudaLaunchHostFunc(stream, &HostCalls::run, call), "calling the host");
  check(cudaStreamSynchronize(stream), "waiting for what is sent");
  HostCalls::run(call);
}

void CudaDevice::stop(std::exception_ptr error) noexcept { calls_->stop(std::move(error)); }

std::unique_ptr<Lane> CudaDevice::lane(std::vector<std::function<void()>> jobs) {
  return std::make_unique<StreamLane>(stream_, communication_stream_, std::move(jobs));
}

std::unique_ptr<Replay> CudaDevice::replay() { return std::make_unique<GraphReplay>(*this); }

std::unique_ptr<Mark> CudaDevice::mark() { return std::make_unique<StreamMark>(stream_); }

std::unique_ptr<Timer> CudaDevice::timer() { return std::make_unique<StreamTimer>(stream_); }

CudaDevice::Memory CudaDevice::memory() const {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for a GPU's memory");
  return {static_cast<int64_t>(total), static_cast<int64_t>(free)};
}

}  // namespace synthesizer::cuda
