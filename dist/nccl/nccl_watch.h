// NCCL's communicators as owned handles, and the thread that looks after them: what goes wrong once a call has returned
// (another rank dies, a link fails) NCCL only tells who asks, and the GPU waits for ever.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "core/kernels/cuda/cuda_device.h"
#include "dist/nccl/nccl_library.h"

namespace synthesizer {

class NcclHandle;

// Asks every handle for its error, again and again. At the first one the device is told (its next finish() throws), and
// all handles are aborted, so that nothing on the GPU waits any more.
class NcclWatch {
 public:
  NcclWatch(const NcclLibrary& library, cuda::CudaDevice& device, std::chrono::milliseconds interval);
  ~NcclWatch();
  NcclWatch(const NcclWatch&) = delete;
  NcclWatch& operator=(const NcclWatch&) = delete;

  void add(NcclHandle* handle);
  // It is not looked at once this returns.
  void remove(NcclHandle* handle);
  bool failed() const { return failed_; }
  // Throws what went wrong, if anything has.
  void rethrow() const;

  const NcclLibrary& nccl() const { return library_; }
  cuda::CudaDevice& device() const { return device_; }

 private:
  void run();
  void look();

  const NcclLibrary& library_;
  cuda::CudaDevice& device_;
  std::chrono::milliseconds interval_;
  std::mutex mutex_;  // of handles_ and stop_
  std::condition_variable stopped_;
  std::set<NcclHandle*> handles_;
  bool stop_ = false;
  std::exception_ptr error_;  // read only once failed_ is true
  std::atomic<bool> failed_ = false;
  std::thread thread_;
};

// What a rank asks of NCCL, for messages.
struct NcclCall {
  const char* name;
  int64_t bytes;  // of the call's larger buffer
};

// An ncclComm, which is destroyed with it; aborted instead, if an exception is on its way or anything has failed.
class NcclHandle {
 public:
  // Made by `make(NcclComm*)`, which is collective and returns NCCL's result. `where`: of this rank, for a message.
  template <typename Make>
  NcclHandle(NcclWatch& watch, const std::string& where, const Make& make) : NcclHandle(watch) {
    const NcclResult result = make(&comm_);
    if (result != NcclResult::kSuccess) fail_to_make(result, where);
    made();
  }
  ~NcclHandle();
  NcclHandle(const NcclHandle&) = delete;
  NcclHandle& operator=(const NcclHandle&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Calls `work(comm)`, which gives work to a stream and returns NCCL's result. Throws Error that says what was called,
  // and NCCL's own words; or what went wrong before.
  template <typename Work>
  void call(const NcclCall& call, const Work& work) {
    watch_.rethrow();
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) watch_.rethrow();  // aborted just now
    last_ = call;
    check(work(comm_));
  }
  // The same for calls that belong together: sends and receives.
  template <typename Work>
  void call_group(const NcclCall& what, const Work& work) {
    call(what, [&](NcclComm comm) {
      const NcclApi& api = watch_.nccl().api();
      if (const NcclResult result = api.GroupStart(); result != NcclResult::kSuccess) return result;
      const NcclResult result = work(comm), end = api.GroupEnd();
      return result == NcclResult::kSuccess ? end : result;
    });
  }

 private:
  friend class NcclWatch;
  explicit NcclHandle(NcclWatch& watch);
  void made();
  [[noreturn]] void fail_to_make(NcclResult result, const std::string& where);
  void check(NcclResult result) const;
  std::string place() const;
  // The error that NCCL found by itself, in words; empty: none, or a call is being made.
  std::string look();
  // Nothing, while a call is being made: NCCL looks for errors itself where a call waits.
  void abort();

  NcclWatch& watch_;
  int exceptions_;
  std::mutex mutex_;  // of comm_ and last_
  NcclComm comm_ = nullptr;
  NcclCall last_ = {"nothing", 0};
  int rank_ = 0, size_ = 1;
};

}  // namespace synthesizer
