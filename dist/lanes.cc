#include "dist/lanes.h"

#include <algorithm>
#include <vector>

#include "core/base/error.h"

namespace synthesizer {
namespace {

struct Interval {
  double begin, end;
};

// The communication lane: when it is busy. Jobs are submitted at times that never go back.
class Busy {
 public:
  double submit(double now, double seconds) {
    const double begin = intervals_.empty() ? now : std::max(now, intervals_.back().end);
    intervals_.push_back({begin, begin + seconds});
    return begin + seconds;
  }

  // When `work` seconds of computing that begin `now` have ended.
  double compute(double now, double work, double taken) {
    while (first_ < intervals_.size() && intervals_[first_].end <= now) ++first_;
    for (size_t i = first_; i < intervals_.size() && work > 0; ++i) {
      const double undisturbed = std::max(0.0, intervals_[i].begin - now);
      if (undisturbed >= work) break;
      work -= undisturbed;
      now += undisturbed;
      const double done = (intervals_[i].end - now) * (1 - taken);
      if (done >= work) return now + work / (1 - taken);
      work -= done;
      now = intervals_[i].end;
    }
    return now + work;
  }

  double end() const { return intervals_.empty() ? 0 : intervals_.back().end; }

 private:
  std::vector<Interval> intervals_;
  size_t first_ = 0;  // that has not ended
};

}  // namespace

LaneTimes run_lanes(std::span<const LaneSlot> slots, double taken) {
  LaneTimes times;
  Busy lane;
  double now = 0;
  std::vector<double> ready(slots.size() + 1, 0);  // by position: when the last collective that it waits for has ended
  for (size_t p = 0; p < slots.size(); ++p) {
    const LaneSlot& slot = slots[p];
    now = std::max(now, ready[p]);
    if (slot.collective) {
      CHECK(slot.wait > static_cast<int>(p) && slot.wait <= static_cast<int>(slots.size()),
            "a collective at {} is waited for at {} of {}", p, slot.wait, slots.size());
      double& until = ready[static_cast<size_t>(slot.wait)];
      until = std::max(until, lane.submit(now, slot.seconds));
      times.communication += slot.seconds;
    } else {
      now = lane.compute(now, slot.seconds, taken);
      times.compute += slot.seconds;
    }
  }
  times.step = std::max(now, lane.end());
  return times;
}

}  // namespace synthesizer
