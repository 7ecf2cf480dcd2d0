// How a value comes from one placement into another: the table of the partition pass.
#pragma once

#include <optional>

#include "core/graph/communicator.h"
#include "core/graph/graph.h"

namespace synthesizer {

// What bringing a value of `bytes` (whole) from one placement to another costs a rank: bytes over the wire, local work
// counted as a small fraction so that it breaks ties, and gathering as dearer than anything else. Nothing: there is no
// direct way (go through whole).
std::optional<double> reshard_cost(const Placement& from, const Placement& to, int64_t bytes, const AxisIndex& axis);

// Appends the node for a direct way (reshard_cost has a value). `local` is this rank's value, placed `from`; a sum over
// the ranks travels as `wire` says.
Value reshard(Value local, const Placement& from, const Placement& to, const AxisIndex& axis, Wire wire = Wire::kFull);

}  // namespace synthesizer
