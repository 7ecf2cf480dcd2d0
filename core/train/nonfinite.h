// Which tensor of a step was the first that is not finite: the step is run again, and every value looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/graph/communicator.h"
#include "core/graph/program.h"
#include "core/graph/state_store.h"

namespace synthesizer {

struct NonFinite {
  int node = 0;  // its place in the graph
  int rank = 0;
  bool persistent = false;  // it lives between steps: no later step can be finite
  std::string text;         // "encoder.layers.0/einsum (einsum, [batch 4, length 32, ff 32]) has NaN at element 17"
};

// Runs the program, whose inputs are written, and gives the value with NaN or infinity that comes first in the graph's
// order: a parameter or an input before what is made of it. Nothing if all are finite. On several ranks the first place
// of any rank, and of those the lowest rank: the same on all. Collective.
std::optional<NonFinite> find_nonfinite(Program& program, Communicator& world);

// The first tensor of the store, by name, with NaN or infinity in any rank's part; nothing if all are finite.
// Collective.
std::optional<NonFinite> find_nonfinite(const StateStore& store, Communicator& world);

}  // namespace synthesizer
