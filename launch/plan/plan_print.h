// A plan as text for people and as JSON for scripts.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "launch/plan/planning.h"

namespace synthesizer {

// `largest`: data.batch as largest_batch() finds it; it is printed with a device only.
nlohmann::ordered_json plan_json(const Planned& planned, int64_t largest);
void print_plan(const Planned& planned, int64_t largest);

}  // namespace synthesizer
