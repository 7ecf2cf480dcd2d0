// One block at a time: its threads as fibers, its barrier, the meetings of its warps.
//
// A thread runs until it waits. Then the first runnable one of the schedule's order goes on, on the stack where it
// stopped; one that has not begun begins on the stack of one that has ended, so a kernel without barriers never
// switches.
#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/cuda_shim/fiber.h"
#include "tests/support/cuda_shim/include/cuda_shim/vector_types.h"
#include "tests/support/cuda_shim/include/cuda_shim/warp.h"
#include "tests/support/cuda_shim/include/cuda_shim/where.h"
#include "tests/support/cuda_shim/order.h"

namespace cuda_shim {

// Copies that a thread has asked for and not yet waited for (tensor_core.h).
struct PendingCopies {
  struct Copy {
    void* to;
    const void* from;  // nullptr: zeros
    int group;
  };
  std::vector<Copy> copies;
  int open_group = 0;
};

class Block {
 public:
  Block();

  // Runs `thread` for each thread of block `index`, whose dimensions g_block_dim has. Throws std::runtime_error if its
  // threads wait for what never comes, and what a thread threw.
  void run(uint3 index, const std::function<void()>& thread, Orders& orders);

  // What the running thread calls.
  void barrier(const Where& where);
  void meet(WarpCall& call);
  void give_way(const Where& where);
  unsigned active_lanes() const;
  bool running() const { return current_ >= 0; }
  int lane() const { return current_ % 32; }
  PendingCopies& pending_copies();

 private:
  enum class State { kNew, kRunnable, kAtBarrier, kInWarp, kGivesWay, kReturned };
  struct Thread {
    State state;
    uint3 index;
    Fiber* fiber;  // where it stopped
    Where where;
    WarpCall* call;
    PendingCopies pending;
  };
  // Lanes that bring the same mask and work.
  struct Meeting {
    unsigned mask;
    WarpWork work;
    unsigned arrived;
  };

  static void work(Fiber& fiber);
  void run_thread(int number);
  int next();
  void wait();
  void returned();
  void release_barrier();
  void order_threads();
  void make_runnable(int number);
  void end(Context& from);
  std::string describe_stop() const;
  std::string describe(const Thread& thread, int number) const;

  std::vector<Thread> threads_;
  int count_ = 0, alive_ = 0, at_barrier_ = 0, giving_way_ = 0;
  int64_t fruitless_ = 0;  // times that all others gave way in turn and nothing else happened
  int current_ = -1;
  Fiber* fiber_ = nullptr;  // that runs
  int starting_ = -1;       // the thread that the fiber switched to begins
  std::array<std::vector<Meeting>, 32> meetings_;
  std::vector<uint16_t> order_, place_;  // place_[order_[p]] = p
  Schedule ordered_by_ = Schedule::kShuffled;
  ReadySet ready_;
  Orders* orders_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  std::exception_ptr error_;
  Context host_;
  FiberPool fibers_;
};

// Of the process; only the host thread that launches uses it.
Block& block();

// "0-31, 40"
std::string describe_numbers(const std::vector<int>& numbers);

}  // namespace cuda_shim
