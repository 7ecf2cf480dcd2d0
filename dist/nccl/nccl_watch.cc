#include "dist/nccl/nccl_watch.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <string_view>

#include "core/base/error.h"

namespace synthesizer {
namespace {

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

NcclWatch::NcclWatch(const NcclLibrary& library, cuda::CudaDevice& device, std::chrono::milliseconds interval)
    : library_(library), device_(device), interval_(interval), thread_([this] { run(); }) {}

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

void NcclWatch::run() {
  std::unique_lock lock(mutex_);
  while (!stopped_.wait_for(lock, interval_, [this] { return stop_; })) look();
}

void NcclWatch::look() {
  for (NcclHandle* handle : handles_) {
    if (failed_) break;
    const std::string words = handle->look();
    if (words.empty()) continue;
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
  fail("[nccl] making a communicator with {}: {} [{}]", watch_.nccl().name(),
       words_of(watch_.nccl().api(), nullptr, result), where);
}

std::string NcclHandle::place() const { return fmt::format("[rank {}/{}]", rank_, size_); }

void NcclHandle::check(NcclResult result) const {
  if (result == NcclResult::kSuccess) return;
  fail("[nccl] {} of {} bytes: {} {}", last_.name, last_.bytes, words_of(watch_.nccl().api(), comm_, result), place());
}

std::string NcclHandle::look() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || comm_ == nullptr) return "";
  const NcclApi& api = watch_.nccl().api();
  NcclResult error = NcclResult::kSuccess;
  const NcclResult result = api.CommGetAsyncError(comm_, &error);
  if (result != NcclResult::kSuccess) error = result;
  if (error == NcclResult::kSuccess || error == NcclResult::kInProgress) return "";
  return fmt::format("[nccl] {} of {} bytes, or a call before it: {} {}", last_.name, last_.bytes,
                     words_of(api, comm_, error), place());
}

void NcclHandle::abort() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() || comm_ == nullptr) return;
  watch_.nccl().api().CommAbort(comm_);
  comm_ = nullptr;
}

}  // namespace synthesizer
