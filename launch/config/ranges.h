// The range of every numeric field of the configuration, one row a field, and the values that this version does not
// have yet.
#pragma once

#include <span>
#include <string_view>

#include "configs/schema/run.pb.h"

namespace synthesizer {

struct Range {
  std::string_view path;
  double low;
  double high;
  bool low_open = false;   // low itself is out
  bool high_open = false;  // high itself is out
};

// One row for every numeric field of the schema.
std::span<const Range> field_ranges();

// Throws UsageError for the first field outside its range, with the value and the range.
void check_ranges(const config::Run& run);

// Throws UsageError for the first field that asks for what a later version will have, with what this one has.
void check_version(const config::Run& run);

}  // namespace synthesizer
