// Checkpoints of runs on thread ranks: saved by all, and what is in them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/dist/layout_run.h"

namespace synthesizer {

// Saves the run's state as that of `step`, and gives the checkpoint's folder below `folder`. Collective.
std::filesystem::path save(RankRun& run, const std::filesystem::path& folder, int64_t step);
// Goes on from the newest checkpoint below `folder`, of which none may be damaged. Collective.
void load(RankRun& run, const std::filesystem::path& folder);
// Every tensor's name and checksum, which does not depend on who wrote it.
std::vector<std::string> checksums(const std::filesystem::path& checkpoint);

}  // namespace synthesizer
