// A thread that runs collectives one after the other, while the program computes.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "core/tensor/device.h"

namespace synthesizer {

// Submitting and waiting allocate nothing. Jobs run in the order they were submitted, which is the same on every rank.
class CommunicationLane : public Lane {
 public:
  // `jobs` are submitted in any order by their index, each at most once between two calls of finish().
  explicit CommunicationLane(std::vector<std::function<void()>> jobs);
  ~CommunicationLane() override;

  void submit(size_t job) override;
  // Returns when the job has ended; throws what it, or one before it, threw.
  void wait(size_t job) override;
  // Waits for everything submitted and makes the lane ready for another round.
  void finish() override;

 private:
  void work();

  std::vector<std::function<void()>> jobs_;
  std::vector<size_t> queue_;  // of this round, in order
  size_t submitted_ = 0, done_ = 0;
  std::vector<size_t> place_;  // of each job in queue_
  bool stop_ = false;
  std::exception_ptr error_;
  std::mutex mutex_;
  std::condition_variable submitted_changed_, done_changed_;
  std::thread thread_;
};

}  // namespace synthesizer
