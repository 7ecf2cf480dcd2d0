// When everything that a program does was done: for each of its runs, when each node, collective and wait began and
// ended. What is made of it (a trace, a table) is others' to say.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/graph/graph.h"

namespace synthesizer {

// One thing that a run of a program does exactly once.
struct TimelineSlot {
  enum class Kind {
    kCompute,        // a node that the program's own thread runs
    kCommunication,  // a collective, on the communication lane
    kWait,           // the program's own thread waits for that collective
  };
  Kind kind = Kind::kCompute;
  const Node* node = nullptr;  // null: the wait for whatever still communicates at the end of a run
};

// Nanoseconds of std::chrono::steady_clock.
struct TimeSpan {
  int64_t begin = 0, end = 0;
};

// The steady clock, in nanoseconds.
int64_t steady_nanoseconds();

// What Program::record() fills. A slot is written by the one thread that does what it stands for, so recording takes no
// lock; and room is made before a run, so it allocates nothing while one is under way.
class Timeline {
 public:
  // With room for `runs`; further ones make room for themselves as they begin.
  Timeline(std::vector<TimelineSlot> slots, size_t runs);

  const std::vector<TimelineSlot>& slots() const { return slots_; }
  size_t runs() const { return spans_.size() / slots_.size(); }
  // Of a run, slot by slot.
  std::span<const TimeSpan> run(size_t index) const {
    return std::span(spans_).subspan(index * slots_.size(), slots_.size());
  }

  // Adds a run, all its spans zero, and gives its first span. The spans of earlier runs may move.
  TimeSpan* begin_run();

 private:
  std::vector<TimelineSlot> slots_;
  std::vector<TimeSpan> spans_;  // [runs, slots]
};

}  // namespace synthesizer
