// One GPU as a Device: memory, streams, copies, CUDA Graphs.
#pragma once

#include <cuda_runtime.h>

#include <exception>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/tensor/device.h"

namespace synthesizer::cuda {

// What there is; 0 without a driver or a device. `why` (optional) gets CUDA's own words then.
int device_count(std::string* why = nullptr);

class HostCalls;

class CudaDevice : public Device {
 public:
  // Of device_count(); the calling thread uses this device from now on. Throws Error if there is no such device or it
  // is older than sm_80.
  explicit CudaDevice(int index);
  ~CudaDevice() override;
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  std::string name() const override { return name_; }
  std::byte* allocate(int64_t bytes) override;
  void release(std::byte* memory) noexcept override;
  std::byte* allocate_pinned(int64_t bytes) override;
  void release_pinned(std::byte* memory) noexcept override;
  void upload(void* to, const void* from, int64_t bytes) override;
  void upload_later(void* to, const void* from, int64_t bytes) override;
  void download(void* to, const void* from, int64_t bytes) override;
  void finish() override;
  void name_work(std::string_view what) override { work_name_ = what; }
  std::string_view work_name() const { return work_name_; }
  std::unique_ptr<Lane> lane(std::vector<std::function<void()>> jobs) override;
  std::unique_ptr<Replay> replay() override;
  std::unique_ptr<Mark> mark() override;
  std::unique_ptr<Timer> timer() override;

  // Calls `work` on the host when `stream` comes to it, captured or not; it must live as long as that may be. What it
  // throws, the next download() or finish() throws, and no work is called from then on.
  void call(cudaStream_t stream, const std::function<void()>& work);
  // From now on call() waits for the stream and calls on its own thread, and replays run what they are given instead of
  // capturing it. For work that waits for other threads' work: the driver may make all calls of a process on one
  // thread.
  void call_on_own_thread() { calls_on_own_thread_ = true; }
  bool calls_on_own_thread() const { return calls_on_own_thread_; }
  // From any thread: what is done from now on is worth nothing. The next download() or finish() throws `error`, once
  // what was given has ended in whatever way, and no work of call() is called any more.
  void stop(std::exception_ptr error) noexcept;

  cudaStream_t stream() const { return stream_; }
  cudaStream_t communication_stream() const { return communication_stream_; }
  int index() const { return index_; }
  // Of what allocate() gave and release() has not got back, at most so far.
  int64_t peak_bytes() const { return peak_; }
  // Of the GPU's memory, and how many of them nothing has taken, other programs' and CUDA's own among it.
  struct Memory {
    int64_t total, free;
  };
  Memory memory() const;

 private:
  int index_;
  std::string name_;
  cudaStream_t stream_ = nullptr, communication_stream_ = nullptr;
  std::unique_ptr<HostCalls> calls_;
  std::map<const void*, int64_t> allocated_;
  int64_t bytes_ = 0, peak_ = 0;
  bool calls_on_own_thread_ = false;
  std::string_view work_name_;
};

}  // namespace synthesizer::cuda
