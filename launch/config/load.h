// From a configuration file to the whole effective configuration: `base` files, --set, defaults.
// What it means and whether it is right is check.h's.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "configs/schema/run.pb.h"

namespace synthesizer {

// Reads `file`, lays it over its `base` files (relative to the file that names them; a scalar replaces, messages merge,
// a list replaces the whole list), applies the assignments ("field.path=value") in order and fills in the defaults.
// Throws UsageError for files that cannot be read, cycles of bases and wrong names and values.
config::Run load_run(const std::filesystem::path& file, const std::vector<std::string>& assignments);

// Fills in the schema's defaults and those that depend on other fields. Fields that stay 0 to mean "by the rest" are
// those that depend on the run's ranks or steps, which a resume may change.
void complete_run(config::Run& run);

}  // namespace synthesizer
