// How the ranks of a new communicator come to know its id: rank 0 makes it, the others get it through a communicator of
// the host's, or through a file where there is none.
#pragma once

#include <chrono>
#include <filesystem>

#include "core/graph/communicator.h"
#include "dist/nccl/nccl_library.h"

namespace synthesizer {

// Collective over `host`, a communicator of the host's memory.
NcclId share_id(const NcclLibrary& library, Communicator& host);

// Rank 0 writes the file (beside, then renamed), the others wait for it. All see one disk, and the path is this job's
// alone (its number is part of it): a file that is there already is another job's, an Error on rank 0. Throws Error if
// the file has not come after `patience`. Whoever made the communicator with it removes the file (rank 0).
NcclId share_id(const NcclLibrary& library, const std::filesystem::path& file, int rank,
                std::chrono::milliseconds patience);

}  // namespace synthesizer
