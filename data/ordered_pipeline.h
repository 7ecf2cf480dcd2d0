// One producer, many workers, results in order: reading is sequential, tokenizing is not, and what is written must not
// depend on which thread was faster. Memory is a fixed ring of items that are used again.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace synthesizer {

template <typename Item>
class OrderedPipeline {
 public:
  // `produce` fills an item (false: there are no more) on a thread of its own, `work` is called on `threads` threads,
  // `consume` on the calling one, in the order of production.
  OrderedPipeline(std::function<bool(Item&)> produce, std::function<void(Item&)> work,
                  std::function<void(Item&)> consume)
      : produce_(std::move(produce)), work_(std::move(work)), consume_(std::move(consume)) {}

  // Returns when all is consumed. Rethrows the first error in the order of items, whichever function threw it.
  void run(int threads) {
    slots_ = std::vector<Slot>(static_cast<size_t>(2 * threads + 2));
    const Crew crew(*this, threads);
    for (;;) {
      Slot& slot = slots_[consumed_ % slots_.size()];
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return slot.done || (ended_ && consumed_ == produced_); });
        if (!slot.done) return;
      }
      if (slot.error) std::rethrow_exception(slot.error);
      consume_(slot.item);
      {
        const std::lock_guard lock(mutex_);
        slot.done = false;
        ++consumed_;
      }
      changed_.notify_all();
    }
  }

 private:
  struct Slot {
    Item item;
    std::exception_ptr error;
    bool done = false;
  };

  // The threads; they are told to stop and joined however run() ends.
  class Crew {
   public:
    Crew(OrderedPipeline& pipeline, int threads) : pipeline_(pipeline) {
      threads_.emplace_back([&pipeline] { pipeline.produce_all(); });
      for (int i = 0; i < threads; ++i) threads_.emplace_back([&pipeline] { pipeline.work_all(); });
    }
    ~Crew() {
      {
        const std::lock_guard lock(pipeline_.mutex_);
        pipeline_.stopping_ = true;
      }
      pipeline_.changed_.notify_all();
      for (std::thread& thread : threads_) thread.join();
    }

   private:
    OrderedPipeline& pipeline_;
    std::vector<std::thread> threads_;
  };

  void produce_all() {
    for (bool more = true; more;) {
      Slot& slot = slots_[produced_ % slots_.size()];
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return produced_ - consumed_ < slots_.size() || stopping_; });
        if (stopping_) return;
      }
      std::exception_ptr error;
      try {
        more = produce_(slot.item);
      } catch (...) {
        error = std::current_exception();
        more = false;
      }
      {
        const std::lock_guard lock(mutex_);
        slot.error = error;
        if (more || error) ++produced_;
        if (!more) ended_ = true;
      }
      changed_.notify_all();
    }
  }

  void work_all() {
    for (;;) {
      Slot* slot = nullptr;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return taken_ < produced_ || ended_ || stopping_; });
        if (stopping_ || taken_ == produced_) return;
        slot = &slots_[taken_++ % slots_.size()];
      }
      if (!slot->error) {
        try {
          work_(slot->item);
        } catch (...) {
          slot->error = std::current_exception();
        }
      }
      {
        const std::lock_guard lock(mutex_);
        slot->done = true;
      }
      changed_.notify_all();
    }
  }

  std::function<bool(Item&)> produce_;
  std::function<void(Item&)> work_;
  std::function<void(Item&)> consume_;
  std::vector<Slot> slots_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t produced_ = 0;
  size_t taken_ = 0;
  size_t consumed_ = 0;
  bool ended_ = false;
  bool stopping_ = false;
};

}  // namespace synthesizer
