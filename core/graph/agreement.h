// Errors that all ranks meet together: what fails on one rank is thrown on every rank, so that none is left waiting.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/graph/communicator.h"

namespace synthesizer {

// Collective. Runs `action` on every rank, without collectives in it; if it threw on any, all ranks throw the error of
// the lowest such rank (UsageError stays UsageError, anything else becomes Error; the rank is named unless all failed).
void run_together(Communicator& world, const std::function<void()>& action);

// Collective. Rank 0 runs `action`, as above; the others wait for it.
void run_on_first(Communicator& world, const std::function<void()>& action);

// Collective. The text of rank `root`, on all.
void broadcast_text(Communicator& world, std::string& text, int root);

// What must be the same on every rank, by name: {"model.d_ff", "2048"}.
using Facts = std::vector<std::pair<std::string, std::string>>;

// Collective. UsageError on all ranks unless all have the facts of rank 0: names the lowest rank that differs, the
// first such fact and both values.
void require_equal(Communicator& world, const Facts& facts);

}  // namespace synthesizer
