// What is said when the threads of a block cannot go on: which of them wait where, and for whom.
#include <fmt/format.h>

#include <map>

#include "tests/support/cuda_shim/block.h"
#include "tests/support/cuda_shim/include/cuda_shim/threads.h"

namespace cuda_shim {

std::string describe_numbers(const std::vector<int>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    if (!text.empty()) text += ", ";
    text += last == i ? fmt::format("{}", numbers[i]) : fmt::format("{}-{}", numbers[i], numbers[last]);
    i = last + 1;
  }
  return text;
}

std::string Block::describe(const Thread& thread, int number) const {
  const auto place = [](const Where& where) { return fmt::format("{}:{}", where.file, where.line); };
  switch (thread.state) {
    case State::kNew:
    case State::kRunnable:
      return "can run";
    case State::kAtBarrier:
      return "at __syncthreads " + place(thread.where);
    case State::kGivesWay:
      return "in __nanosleep " + place(thread.where);
    case State::kReturned:
      return "returned";
    case State::kInWarp:
      break;
  }
  const WarpCall& call = *thread.call;
  std::vector<int> missing;
  for (int lane = 0; lane < 32; ++lane) {
    const int other = number / 32 * 32 + lane;
    if ((call.mask >> lane & 1) == 0) continue;
    const bool came = other < count_ && threads_[other].state == State::kInWarp &&
                      threads_[other].call->mask == call.mask && threads_[other].call->work == call.work;
    if (!came) missing.push_back(lane);
  }
  return fmt::format("at {} {} with mask {:#x}, where lanes {} are missing", call.name, place(call.where), call.mask,
                     describe_numbers(missing));
}

std::string Block::describe_stop() const {
  std::map<std::string, std::vector<int>> threads;
  for (int number = 0; number < count_; ++number) threads[describe(threads_[number], number)].push_back(number);
  std::string text = fmt::format("block ({}, {}, {}) of {} threads cannot go on", g_block_index.x, g_block_index.y,
                                 g_block_index.z, count_);
  const char* separator = ": ";
  for (const auto& [what, numbers] : threads) {
    text += fmt::format("{}{} {} {}", separator, numbers.size() == 1 ? "thread" : "threads", describe_numbers(numbers),
                        what);
    separator = "; ";
  }
  return text;
}

}  // namespace cuda_shim
