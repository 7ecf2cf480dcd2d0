// The clocks of the ranks, brought together: times that ranks of several hosts take are put on rank 0's clock.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/graph/communicator.h"

namespace synthesizer {

// Names the clock that std::chrono::steady_clock reads here: processes of one host, between two of its starts, have the
// same. Empty if the system does not say.
std::string steady_clock_name();

// Collective. Nanoseconds by which this rank's clock is ahead of rank 0's. Exactly 0 where both clocks have the same
// name, which is not empty. Else from the ends of a row of barriers, which all ranks see at nearly the same moment: the
// median of the differences, as good as a barrier's end is sharp, some tens of microseconds where no rank has to wait
// for a core.
int64_t clock_ahead(Communicator& world, const std::string& name, const std::function<int64_t()>& nanoseconds);

}  // namespace synthesizer
