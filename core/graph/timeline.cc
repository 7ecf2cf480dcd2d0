#include "core/graph/timeline.h"

#include <chrono>
#include <utility>

#include "core/base/error.h"

namespace synthesizer {

int64_t steady_nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Timeline::Timeline(std::vector<TimelineSlot> slots, size_t runs) : slots_(std::move(slots)) {
  CHECK(!slots_.empty(), "a program that runs nothing has no timeline");
  spans_.reserve(runs * slots_.size());
}

TimeSpan* Timeline::begin_run() {
  const size_t begin = spans_.size();
  spans_.resize(begin + slots_.size());
  return spans_.data() + begin;
}

}  // namespace synthesizer
