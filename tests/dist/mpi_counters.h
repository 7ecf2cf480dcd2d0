// What this process gives to MPI to send, counted between the program and MPI: the source beside this header defines
// the MPI calls that send and hands them on to MPI's own profiling interface (PMPI). Linked into a test, it is what the
// program's code calls.
#pragma once

#include <atomic>
#include <cstdint>

namespace synthesizer {

struct MpiCounters {
  std::atomic<int64_t> messages{0};    // MPI_Isend
  std::atomic<int64_t> gathers{0};     // MPI_Iallgather
  std::atomic<int64_t> broadcasts{0};  // MPI_Ibcast
  std::atomic<int64_t> barriers{0};    // MPI_Ibarrier
  // Sent to the other ranks: of a gather the block to each of them, of a broadcast the buffer by its root.
  std::atomic<int64_t> bytes{0};
};

// Of all calls since the process began. A call that sends and is not counted ends the process.
const MpiCounters& mpi_counters();

}  // namespace synthesizer
