// report.html: a run at a glance, made from its own files. Self-contained, no script.
#pragma once

#include <filesystem>
#include <string>

namespace synthesizer {

// Reads FOLDER/metrics.jsonl and writes FOLDER/report.html (to a temporary name, then renamed): the curves of training
// and validation loss, the last figures, the configuration. UsageError if the metrics cannot be read.
void write_report(const std::filesystem::path& folder, const std::string& config);

}  // namespace synthesizer
