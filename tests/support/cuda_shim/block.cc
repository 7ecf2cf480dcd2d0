#include "tests/support/cuda_shim/block.h"

#include <fmt/format.h>

#include <cstring>
#include <stdexcept>
#include <utility>

#include "tests/support/cuda_shim/include/cuda_shim/threads.h"

namespace cuda_shim {
namespace {

// So often may threads give way to one another while nothing else happens.
constexpr int64_t kMostFruitless = 100'000;

[[noreturn]] void not_in_kernel(const char* what) {
  throw std::logic_error(fmt::format("{}: called on the host, expected in a kernel", what));
}

bool same(const Where& a, const Where& b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

}  // namespace

Block& block() {
  static Block block;
  return block;
}

Block::Block() : threads_(ReadySet::kMost), fibers_(&Block::work) {}

void Block::run(uint3 index, const std::function<void()>& thread, Orders& orders) {
  g_block_index = index;
  count_ = static_cast<int>(g_block_dim.x * g_block_dim.y * g_block_dim.z);
  alive_ = count_;
  at_barrier_ = giving_way_ = 0;
  fruitless_ = 0;
  body_ = &thread;
  orders_ = &orders;
  error_ = nullptr;
  uint3 position{0, 0, 0};
  for (int number = 0; number < count_; ++number) {
    Thread& one = threads_[number];
    one.state = State::kNew;
    one.index = position;
    one.fiber = nullptr;
    one.pending.copies.clear();
    one.pending.open_group = 0;
    if (++position.x == g_block_dim.x) {
      position.x = 0;
      if (++position.y == g_block_dim.y) position.y = 0, ++position.z;
    }
  }
  for (std::vector<Meeting>& meetings : meetings_) meetings.clear();
  ready_.clear();
  order_threads();
  for (int number = 0; number < count_; ++number) ready_.insert(place_[number]);

  starting_ = next();
  switch_context(host_, fibers_.take().context());
  current_ = -1;
  if (error_ != nullptr) {
    fibers_.restart();
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

void Block::order_threads() {
  const Schedule schedule = orders_->schedule();
  if (schedule != Schedule::kShuffled && schedule == ordered_by_ && order_.size() == static_cast<size_t>(count_))
    return;
  ordered_by_ = schedule;
  orders_->fill(order_, count_);
  place_.resize(count_);
  for (int place = 0; place < count_; ++place) place_[order_[place]] = static_cast<uint16_t>(place);
}

// What a fiber does, for ever: threads, one after the other.
void Block::work(Fiber& fiber) {
  Block& self = block();
  for (;;) {
    self.fiber_ = &fiber;
    self.run_thread(self.starting_);
    if (self.error_ != nullptr) self.end(fiber.context());
    const int number = self.next();
    if (number < 0) {
      if (self.alive_ == 0) self.fibers_.give_back(fiber);
      self.end(fiber.context());  // comes back when another block needs the fiber
      continue;
    }
    self.starting_ = number;
    if (self.threads_[number].fiber == nullptr) continue;
    self.fibers_.give_back(fiber);
    switch_context(fiber.context(), self.threads_[number].fiber->context());
  }
}

void Block::run_thread(int number) {
  Thread& thread = threads_[number];
  current_ = number;
  thread.state = State::kRunnable;
  g_thread_index = thread.index;
  try {
    (*body_)();
    returned();
  } catch (...) {
    error_ = std::current_exception();
  }
}

void Block::returned() {
  threads_[current_].state = State::kReturned;
  fruitless_ = 0;
  --alive_;
  if (alive_ > 0 && at_barrier_ == alive_) release_barrier();
}

// The thread to run now, taken out of the ready ones; -1 if none can.
int Block::next() {
  int place = ready_.take_first();
  if (place < 0 && giving_way_ > 0 && ++fruitless_ < kMostFruitless) {
    giving_way_ = 0;
    for (int number = 0; number < count_; ++number)
      if (threads_[number].state == State::kGivesWay) make_runnable(number);
    place = ready_.take_first();
  }
  return place < 0 ? -1 : order_[place];
}

void Block::make_runnable(int number) {
  threads_[number].state = State::kRunnable;
  ready_.insert(place_[number]);
}

// Lets others run until the current thread, whose state says what it waits for, is the next one.
void Block::wait() {
  const int self = current_;
  Fiber& fiber = *fiber_;
  threads_[self].fiber = &fiber;
  const int number = next();
  if (number < 0) end(fiber.context());
  if (number != self) {
    starting_ = number;
    Fiber* stopped = threads_[number].fiber;
    switch_context(fiber.context(), (stopped == nullptr ? fibers_.take() : *stopped).context());
  }
  fiber_ = &fiber;
  current_ = self;
  threads_[self].fiber = nullptr;
  g_thread_index = threads_[self].index;
}

// Goes back to the host thread, with an error unless all threads have returned.
void Block::end(Context& from) {
  if (alive_ > 0 && error_ == nullptr) error_ = std::make_exception_ptr(std::runtime_error(describe_stop()));
  switch_context(from, host_);
}

void Block::barrier(const Where& where) {
  if (!running()) not_in_kernel("__syncthreads");
  Thread& thread = threads_[current_];
  thread.state = State::kAtBarrier;
  thread.where = where;
  if (++at_barrier_ == alive_) release_barrier();
  wait();
}

void Block::release_barrier() {
  const Thread* first = nullptr;
  for (int number = 0; number < count_; ++number) {
    const Thread& thread = threads_[number];
    if (thread.state == State::kReturned) continue;
    if (first == nullptr) first = &thread;
    if (!same(first->where, thread.where))
      throw std::runtime_error("threads of a block meet at different barriers: " + describe_stop());
  }
  fruitless_ = 0;
  at_barrier_ = 0;
  if (orders_->schedule() == Schedule::kShuffled) order_threads();
  for (int number = 0; number < count_; ++number)
    if (threads_[number].state == State::kAtBarrier) make_runnable(number);
}

void Block::meet(WarpCall& call) {
  if (!running()) not_in_kernel(call.name);
  const int first = current_ / 32 * 32;
  const unsigned own = 1u << lane();
  if ((call.mask & own) == 0)
    throw std::runtime_error(fmt::format("{} at {}:{}: mask {:#x} does not name lane {}, which calls", call.name,
                                         call.where.file, call.where.line, call.mask, lane()));
  Thread& thread = threads_[current_];
  thread.state = State::kInWarp;
  thread.call = &call;
  std::vector<Meeting>& meetings = meetings_[first / 32];
  Meeting* meeting = nullptr;
  for (Meeting& other : meetings)
    if (other.mask == call.mask && other.work == call.work) meeting = &other;
  if (meeting == nullptr) meeting = &meetings.emplace_back(Meeting{call.mask, call.work, 0});
  meeting->arrived |= own;
  if (meeting->arrived == call.mask) {
    *meeting = meetings.back();
    meetings.pop_back();
    fruitless_ = 0;
    WarpCall* lanes[32] = {};
    for (int lane = 0; lane < 32; ++lane)
      if (call.mask >> lane & 1) {
        lanes[lane] = threads_[first + lane].call;
        make_runnable(first + lane);
      }
    call.work(lanes);
  }
  wait();
}

void Block::give_way(const Where& where) {
  if (!running()) not_in_kernel("__nanosleep");
  threads_[current_].state = State::kGivesWay;
  threads_[current_].where = where;
  ++giving_way_;
  wait();
}

PendingCopies& Block::pending_copies() {
  if (!running()) not_in_kernel("copy_async");
  return threads_[current_].pending;
}

unsigned Block::active_lanes() const {
  if (!running()) not_in_kernel("__activemask");
  unsigned lanes = 0;
  const int first = current_ / 32 * 32;
  for (int lane = 0; lane < 32 && first + lane < count_; ++lane)
    if (threads_[first + lane].state != State::kReturned) lanes |= 1u << lane;
  return lanes;
}

}  // namespace cuda_shim
