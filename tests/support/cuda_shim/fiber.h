// Stacks for the threads of a block, and the switch from one to another. Stacks are kept for later blocks and launches.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace cuda_shim {

class Fiber;

// Where something is suspended: a fiber, or the host thread that launched.
struct Context {
  Fiber* fiber = nullptr;        // nullptr: the host thread
  void* suspended = nullptr;     // Boost.Context's
  void* fake_stack = nullptr;    // AddressSanitizer's
  const void* bottom = nullptr;  // of the stack
  size_t bytes = 0;
};

// Suspends `from`, which runs, and goes on with `to`. Returns when something switches to `from`.
void switch_context(Context& from, Context& to);

class Fiber {
 public:
  // 64 KiB, with a page below that faults. Throws std::bad_alloc.
  explicit Fiber(void (*work)(Fiber&));
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  Context& context() { return context_; }
  // Forgets what runs there, without unwinding: the next switch to it starts `work`, which never returns.
  void restart();

 private:
  void (*work_)(Fiber&);
  std::byte* mapping_;
  Context context_;
};

class FiberPool {
 public:
  explicit FiberPool(void (*work)(Fiber&)) : work_(work) {}
  Fiber& take();
  void give_back(Fiber& fiber) { free_.push_back(&fiber); }
  // Restarts all fibers, of which none runs.
  void restart();

 private:
  void (*work_)(Fiber&);
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber*> free_;
};

}  // namespace cuda_shim
