#include "tests/support/cuda_shim/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define CUDA_SHIM_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_SHIM_ASAN
#endif
#endif
#ifdef CUDA_SHIM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_shim {
namespace {

namespace fcontext = boost::context::detail;

constexpr size_t kStackBytes = size_t{64} << 10;

size_t guard_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

// What a switch carries, on the stack of the one left.
struct Switch {
  Context* from;
  Context* to;
};

// The first thing on the other side of a switch: notes where the one left is suspended, and what its stack is (that of
// the host thread is known from here alone). Returns the one that goes on.
Context& arrive(fcontext::transfer_t transfer, bool fresh) {
  const Switch& carried = *static_cast<Switch*>(transfer.data);
  carried.from->suspended = transfer.fctx;
  void* fake_stack = fresh ? nullptr : carried.to->fake_stack;
#ifdef CUDA_SHIM_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, &carried.from->bottom, &carried.from->bytes);
#else
  (void)fake_stack;
#endif
  return *carried.to;
}

}  // namespace

void switch_context(Context& from, Context& to) {
  Switch carried{&from, &to};
#ifdef CUDA_SHIM_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.bytes);
#endif
  arrive(fcontext::jump_fcontext(to.suspended, &carried), false);
}

Fiber::Fiber(void (*work)(Fiber&)) : work_(work) {
  void* memory = mmap(nullptr, guard_bytes() + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<std::byte*>(memory);
  mprotect(mapping_, guard_bytes(), PROT_NONE);
  restart();
}

Fiber::~Fiber() { munmap(mapping_, guard_bytes() + kStackBytes); }

void Fiber::restart() {
  std::byte* bottom = mapping_ + guard_bytes();
#ifdef CUDA_SHIM_ASAN
  // The frames that are dropped have left their redzones.
  ASAN_UNPOISON_MEMORY_REGION(bottom, kStackBytes);
#endif
  context_ = {this, nullptr, nullptr, bottom, kStackBytes};
  context_.suspended = fcontext::make_fcontext(bottom + kStackBytes, kStackBytes, [](fcontext::transfer_t transfer) {
    Fiber& self = *arrive(transfer, true).fiber;
    self.work_(self);
  });
}

Fiber& FiberPool::take() {
  if (free_.empty()) {
    all_.push_back(std::make_unique<Fiber>(work_));
    return *all_.back();
  }
  Fiber& fiber = *free_.back();
  free_.pop_back();
  return fiber;
}

void FiberPool::restart() {
  free_.clear();
  for (const std::unique_ptr<Fiber>& fiber : all_) {
    fiber->restart();
    free_.push_back(fiber.get());
  }
}

}  // namespace cuda_shim
