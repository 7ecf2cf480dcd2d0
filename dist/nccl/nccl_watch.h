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
#include <vector>

#include "core/kernels/cuda/runtime/cuda_device.h"
#include "dist/nccl/nccl_library.h"
#include "dist/nccl/nccl_limits.h"
#include "dist/nccl/nccl_progress.h"

namespace synthesizer {

class NcclHandle;

// What a rank asks of NCCL, for messages.
struct NcclCall {
  const char* name;
  int64_t bytes;            // of the call's larger buffer
  std::string tensor = {};  // the node of a graph that asks; may be empty
  bool operator==(const NcclCall&) const = default;
  std::string to_string() const;  // "all_reduce of 32 bytes (gradient.w.sum)"
};

// Asks every handle for its error, again and again, and whether the call that the GPU is making is still the one it
// was. At the first error, or when that has lasted as long as it may, the device is told (its next finish() throws),
// and all handles are aborted, so that nothing on the GPU waits any more.
class NcclWatch {
 public:
  NcclWatch(const NcclLibrary& library, cuda::CudaDevice& device, std::chrono::milliseconds interval,
            const NcclLimits& limits);
  ~NcclWatch();
  NcclWatch(const NcclWatch&) = delete;
  NcclWatch& operator=(const NcclWatch&) = delete;

  void add(NcclHandle* handle);
  // It is not looked at once this returns.
  void remove(NcclHandle* handle);
  bool failed() const { return failed_; }
  // Throws what went wrong, if anything has.
  void rethrow() const;

  // What a call of this communicator has come to, for which `result` may say that it goes on; kInProgress: it has not
  // ended for limits().start, or something else has gone wrong.
  NcclResult wait(NcclComm comm, NcclResult result) const;
  const NcclLimits& limits() const { return limits_; }
  // Around a call that is given to the device's communication stream. `place`: of its rank, for a message.
  void begin(const NcclCall& call, const std::string& place);
  void end() { progress_.end(); }
  // The call that the GPU is making, "CALL", or "LAST, or a call before it" if it makes none.
  std::string in_flight(const NcclCall& last);

  const NcclLibrary& nccl() const { return library_; }
  cuda::CudaDevice& device() const { return device_; }

 private:
  void run();
  void look();
  // Why the call that the GPU is making will not end; empty: it may.
  std::string overdue();

  struct GivenCall {
    NcclCall call;
    std::string place;
    bool operator==(const GivenCall&) const = default;
  };

  const NcclLibrary& library_;
  cuda::CudaDevice& device_;
  std::chrono::milliseconds interval_;
  NcclLimits limits_;
  NcclProgress progress_;
  std::mutex calls_mutex_;        // of calls_
  std::vector<GivenCall> calls_;  // each once: progress_ says n for calls_[n - 1]
  NcclProgress::Seen seen_;       // of the thread, as are these
  std::chrono::steady_clock::time_point since_;
  std::mutex mutex_;  // of handles_ and stop_
  std::condition_variable stopped_;
  std::set<NcclHandle*> handles_;
  bool stop_ = false;
  std::exception_ptr error_;  // read only once failed_ is true
  std::atomic<bool> failed_ = false;
  std::thread thread_;
};

// An ncclComm, which is destroyed with it; aborted instead, if an exception is on its way or anything has failed.
class NcclHandle {
 public:
  // Made by `make(NcclComm*)`, which is collective and returns NCCL's result. `where`: of this rank, for a message.
  template <typename Make>
  NcclHandle(NcclWatch& watch, const std::string& where, const Make& make) : NcclHandle(watch) {
    NcclResult result = make(&comm_);
    if (comm_ != nullptr) result = watch.wait(comm_, result == NcclResult::kSuccess ? NcclResult::kInProgress : result);
    if (result != NcclResult::kSuccess) fail_to_make(result, where);
    made();
  }
  ~NcclHandle();
  NcclHandle(const NcclHandle&) = delete;
  NcclHandle& operator=(const NcclHandle&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Calls `work(comm)`, which gives work to the communication stream and returns NCCL's result. Throws Error that says
  // what was called, and NCCL's own words; or what went wrong before.
  template <typename Work>
  void call(const NcclCall& call, const Work& work) {
    watch_.rethrow();
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) watch_.rethrow();  // aborted just now
    last_ = call;
    last_.tensor = watch_.device().work_name();
    watch_.begin(last_, place());
    check(watch_.wait(comm_, work(comm_)));
    watch_.end();
  }
  // The same for calls that belong together: sends and receives.
  template <typename Work>
  void call_group(const NcclCall& what, const Work& work) {
    call(what, [&](NcclComm comm) {
      const NcclApi& api = watch_.nccl().api();
      if (const NcclResult result = api.GroupStart(); result != NcclResult::kSuccess) return result;
      const NcclResult result = work(comm), end = api.GroupEnd();
      return result == NcclResult::kSuccess || result == NcclResult::kInProgress ? end : result;
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
  NcclCall last_ = {"nothing", 0, {}};
  int rank_ = 0, size_ = 1;
};

}  // namespace synthesizer
