// The two lanes on which a Program runs a step, as a simulation: computing goes on, one op after the other, while
// collectives run beside it; it stops where a result is needed that is not there yet.
#pragma once

#include <span>

namespace synthesizer {

// What runs at one position of a Schedule. Leaves and views take 0 seconds.
struct LaneSlot {
  double seconds = 0;
  bool collective = false;
  int wait = 0;  // of a collective: the position that needs it, or the number of slots where only the step's end does
};

struct LaneTimes {
  double step = 0;           // from the start to the end of both lanes
  double compute = 0;        // of all that computes, alone
  double communication = 0;  // of all collectives, alone
  double exposed() const { return step - compute; }
};

// Collectives run in the order of their positions. While one runs, computing goes on at 1 - `taken` of its speed.
LaneTimes run_lanes(std::span<const LaneSlot> slots, double taken);

}  // namespace synthesizer
