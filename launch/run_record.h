// What a run's folder and its checkpoints keep of how it came about: the effective configuration, and as comments
// before it the program's version and what the shards are. It reads back as a configuration.
#pragma once

#include <filesystem>
#include <string>

#include "configs/schema/run.pb.h"
#include "launch/run_data.h"

namespace synthesizer {

// runs/<name of the configuration's file>
std::filesystem::path default_run_folder(const std::filesystem::path& config);

std::string run_record(const config::Run& run, const RunData& data);

// Throws UsageError if a run with record `before` may not go on with record `now`: fields that differ and may not
// (config/resume.h), or other shards.
void check_record(const std::string& before, const std::string& now);

}  // namespace synthesizer
