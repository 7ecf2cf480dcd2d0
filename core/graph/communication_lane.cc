#include "core/graph/communication_lane.h"

#include <utility>

namespace synthesizer {

CommunicationLane::CommunicationLane(std::vector<std::function<void()>> jobs)
    : jobs_(std::move(jobs)), queue_(jobs_.size()), place_(jobs_.size()), thread_([this] { work(); }) {}

CommunicationLane::~CommunicationLane() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  submitted_changed_.notify_one();
  thread_.join();
}

void CommunicationLane::submit(size_t job) {
  {
    const std::lock_guard lock(mutex_);
    place_[job] = submitted_;
    queue_[submitted_++] = job;
  }
  submitted_changed_.notify_one();
}

void CommunicationLane::wait(size_t job) {
  std::unique_lock lock(mutex_);
  done_changed_.wait(lock, [&] { return done_ > place_[job] || error_; });
  if (error_) std::rethrow_exception(error_);
}

void CommunicationLane::finish() {
  std::unique_lock lock(mutex_);
  done_changed_.wait(lock, [&] { return done_ == submitted_ || error_; });
  if (error_) std::rethrow_exception(error_);
  submitted_ = done_ = 0;
}

void CommunicationLane::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    submitted_changed_.wait(lock, [&] { return stop_ || (done_ < submitted_ && !error_); });
    if (stop_) return;
    const size_t job = queue_[done_];
    lock.unlock();
    std::exception_ptr error;
    try {
      jobs_[job]();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error)
      error_ = error;
    else
      ++done_;
    done_changed_.notify_all();
  }
}

}  // namespace synthesizer
