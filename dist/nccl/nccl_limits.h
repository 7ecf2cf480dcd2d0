// How long a rank waits for others before it gives up.
#pragma once

#include <chrono>

namespace synthesizer {

// A rank that never comes is no error to NCCL: it waits for it for ever, on the host or on the GPU.
struct NcclLimits {
  // For all ranks of a new communicator to be there, and for connections that a call makes.
  std::chrono::milliseconds start{std::chrono::minutes(10)};
  // For a collective on the GPU: long, as a rank may come late (it writes a file, it compiles).
  std::chrono::milliseconds collective{std::chrono::minutes(30)};
};

// The same; SYNTHESIZER_NCCL_TIMEOUT, seconds, is both if it is set. Throws Error if it is no number above 0.
NcclLimits nccl_limits();

}  // namespace synthesizer
