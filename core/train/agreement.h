// Errors that all ranks meet together: what fails on one rank is thrown on every rank, so that none is left waiting.
#pragma once

#include <functional>

#include "core/graph/communicator.h"

namespace synthesizer {

// Collective. Runs `action` on every rank, without collectives in it; if it threw on any, all ranks throw the error of
// the lowest such rank (UsageError stays UsageError, anything else becomes Error; the rank is named if there are more).
void run_together(Communicator& world, const std::function<void()>& action);

// Collective. Rank 0 runs `action`, as above; the others wait for it.
void run_on_first(Communicator& world, const std::function<void()>& action);

}  // namespace synthesizer
