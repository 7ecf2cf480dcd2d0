// MPI's life in this process, from MPI_Init_thread to MPI_Finalize. Works without mpirun: a world of one.
#pragma once

#include <optional>

#include "dist/mpi_communicator.h"

namespace synthesizer {

// One a process. Throws Error if MPI does not start or does not grant MPI_THREAD_MULTIPLE, which the trainer's
// communication thread needs.
class MpiEnvironment {
 public:
  // Takes MPI's own arguments out of argv.
  MpiEnvironment(int* argc, char*** argv);
  // Finalizes, with the other ranks. If an exception is unwinding, the others may never come: the job is aborted.
  ~MpiEnvironment();
  MpiEnvironment(const MpiEnvironment&) = delete;
  MpiEnvironment& operator=(const MpiEnvironment&) = delete;

  MpiCommunicator& world() { return *world_; }

  // Ends all ranks of the job at once; mpirun exits with `code`.
  [[noreturn]] void abort(int code);

 private:
  int exceptions_;
  std::optional<MpiCommunicator> world_;
};

}  // namespace synthesizer
