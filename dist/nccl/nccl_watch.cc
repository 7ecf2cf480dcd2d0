#include "dist/nccl/nccl_watch.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <string_view>

#include "core/base/error.h"

namespace synthesizer {
namespace {

using Clock = std::chrono::steady_clock;

// "1800 s (SYNTHESIZER_NCCL_TIMEOUT)"
std::string seconds_of(Clock::duration time) {
  return fmt::format("{:.3g} s (SYNTHESIZER_NCCL_TIMEOUT)", std::chrono::duration<double>(time).count());
}

// "unhandled cuda error: Failed to …": the kind, and what NCCL said last, on one line.
std::string words_of(const NcclApi& api, NcclComm comm, NcclResult result) {
  std::string words = api.GetErrorString(result);
  const char* const last = api.GetLastError(comm);
  std::string details = last == nullptr ? "" : last;
  std::replace(details.begin(), details.end(), '\n', ' ');
  const size_t end = details.find_last_not_of(' ');
  if (end != std::string::npos) words += ": " + details.substr(0, end + 1);
  if (words.find("NCCL_DEBUG") == std::string::npos) words += ". NCCL_DEBUG=INFO says more";
  return words;
}

}  // namespace

std::string NcclCall::to_string() const {
  return fmt::format("{} of {} bytes{}", name, bytes, tensor.empty() ? "" : fmt::format(" ({})", tensor));
}

NcclWatch::NcclWatch(const NcclLibrary& library, cuda::CudaDevice& device, std::chrono::milliseconds interval,
                     const NcclLimits& limits)
    : library_(library),
      device_(device),
      interval_(interval),
      limits_(limits),
      progress_(device.communication_stream()),
      thread_([this] { run(); }) {}

NcclWatch::~NcclWatch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  thread_.join();
}

void NcclWatch::add(NcclHandle* handle) {
  const std::lock_guard lock(mutex_);
  handles_.insert(handle);
}

void NcclWatch::remove(NcclHandle* handle) {
  const std::lock_guard lock(mutex_);
  handles_.erase(handle);
}

void NcclWatch::rethrow() const {
  if (failed_) std::rethrow_exception(error_);
}

NcclResult NcclWatch::wait(NcclComm comm, NcclResult result) const {
  constexpr std::chrono::milliseconds kBetweenLooks{1};
  const auto end = Clock::now() + limits_.start;
  while (result == NcclResult::kInProgress && !failed_ && Clock::now() < end) {
    const NcclResult asked = library_.api().CommGetAsyncError(comm, &result);
    if (asked != NcclResult::kSuccess) return asked;
    if (result == NcclResult::kInProgress) std::this_thread::sleep_for(kBetweenLooks);
  }
  return result;
}

void NcclWatch::begin(const NcclCall& call, const std::string& place) {
  size_t number = 0;
  {
    const std::lock_guard lock(calls_mutex_);
    const auto at = std::find(calls_.begin(), calls_.end(), GivenCall{call, place});
    number = static_cast<size_t>(at - calls_.begin()) + 1;
    if (at == calls_.end()) calls_.push_back({call, place});
  }
  progress_.begin(static_cast<int32_t>(number));
}

std::string NcclWatch::in_flight(const NcclCall& last) {
  const NcclProgress::Seen seen = progress_.seen();
  if (seen.call == 0) return last.to_string() + ", or a call before it";
  const std::lock_guard lock(calls_mutex_);
  return calls_[static_cast<size_t>(seen.call) - 1].call.to_string();
}

std::string NcclWatch::overdue() {
  const NcclProgress::Seen seen = progress_.seen();
  const Clock::time_point now = Clock::now();
  if (seen != seen_ || seen.call == 0) since_ = now;
  seen_ = seen;
  if (now - since_ < limits_.collective) return "";
  const std::lock_guard lock(calls_mutex_);
  const GivenCall& given = calls_[static_cast<size_t>(seen.call) - 1];
  return fmt::format("[nccl] {}: not done after {}. A rank has not come, or its GPU stands still {}",
                     given.call.to_string(), seconds_of(now - since_), given.place);
}

void NcclWatch::run() {
  std::unique_lock lock(mutex_);
  while (!stopped_.wait_for(lock, interval_, [this] { return stop_; })) look();
}

void NcclWatch::look() {
  std::string words;
  for (NcclHandle* handle : handles_)
    if (!failed_ && words.empty()) words = handle->look();
  if (!failed_ && words.empty()) words = overdue();
  if (!words.empty()) {
    error_ = std::make_exception_ptr(Error(words));
    failed_ = true;
    device_.stop(error_);  // before what waits on the GPU goes on, with wrong values
  }
  if (failed_)
    for (NcclHandle* handle : handles_) handle->abort();  // what is busy, the next time
}

NcclHandle::NcclHandle(NcclWatch& watch) : watch_(watch), exceptions_(std::uncaught_exceptions()) { watch_.rethrow(); }

void NcclHandle::made() {
  const NcclApi& api = watch_.nccl().api();
  check(api.CommCount(comm_, &size_));
  check(api.CommUserRank(comm_, &rank_));
  watch_.add(this);
}

NcclHandle::~NcclHandle() {
  watch_.remove(this);
  if (comm_ == nullptr) return;
  const NcclApi& api = watch_.nccl().api();
  if (std::uncaught_exceptions() > exceptions_ || watch_.failed()) {
    api.CommAbort(comm_);
    return;
  }
  cudaStreamSynchronize(watch_.device().communication_stream());  // an error of it, who reads the results sees
  api.CommDestroy(comm_);
}

void NcclHandle::fail_to_make(NcclResult result, const std::string& where) {
  watch_.rethrow();
  if (result == NcclResult::kInProgress)
    fail("[nccl] making a communicator with {}: a rank has not come for {} [{}]", watch_.nccl().name(),
         seconds_of(watch_.limits().start), where);
  fail("[nccl] making a communicator with {}: {} [{}]", watch_.nccl().name(),
       words_of(watch_.nccl().api(), nullptr, result), where);
}

std::string NcclHandle::place() const { return fmt::format("[rank {}/{}]", rank_, size_); }

void NcclHandle::check(NcclResult result) const {
  if (result == NcclResult::kSuccess) return;
  watch_.rethrow();
  if (result == NcclResult::kInProgress)
    fail("[nccl] {}: has not begun for {}. A rank has not come {}", last_.to_string(),
         seconds_of(watch_.limits().start), place());
  fail("[nccl] {}: {} {}", last_.to_string(), words_of(watch_.nccl().api(), comm_, result), place());
}

std::string NcclHandle::look() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || comm_ == nullptr) return "";
  const NcclApi& api = watch_.nccl().api();
  NcclResult error = NcclResult::kSuccess;
  const NcclResult result = api.CommGetAsyncError(comm_, &error);
  if (result != NcclResult::kSuccess) error = result;
  if (error == NcclResult::kSuccess || error == NcclResult::kInProgress) return "";
  return fmt::format("[nccl] {}: {} {}", watch_.in_flight(last_), words_of(api, comm_, error), place());
}

void NcclHandle::abort() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || comm_ == nullptr) return;
  watch_.nccl().api().CommAbort(comm_);
  comm_ = nullptr;
}

}  // namespace synthesizer
