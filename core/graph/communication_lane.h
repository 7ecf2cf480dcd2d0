// A thread that runs collectives one after the other, while the program computes.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace synthesizer {

// Submitting and waiting allocate nothing. Jobs run in the order they were submitted, which is the same on every rank.
class CommunicationLane {
 public:
  // `jobs` are submitted in any order by their index, each at most once between two calls of finish().
  explicit CommunicationLane(std::vector<std::function<void()>> jobs);
  ~CommunicationLane();

  void submit(size_t job);
  // Returns when the job has ended; throws what it, or one before it, threw.
  void wait(size_t job);
  // Waits for everything submitted and makes the lane ready for another round.
  void finish();

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
