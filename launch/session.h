// A process of the program among its ranks: MPI started when a command needs it, and failures that leave no rank
// hanging.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <string_view>

#include "core/graph/agreement.h"
#include "dist/mpi_environment.h"

namespace synthesizer {

class Session {
 public:
  Session(int argc, char** argv) : argc_(argc), argv_(argv) {}

  // All ranks of the job; starts MPI at the first call. Collective.
  MpiCommunicator& world();

  // Ranks of the job on this host, this one included. Collective.
  int ranks_on_host();
  // This one's number among them. Collective.
  int rank_on_host();
  // Threads that this rank computes with, `wanted` if that is not 0; it may be bound to cores (launch/cores.h).
  // Collective.
  int threads(int wanted = 0);

  // What the launcher (mpirun, srun) says of this process before MPI has started; 0 and 1 without a launcher.
  static int launched_rank();
  static int launched_size();
  // UsageError for a command that only one process may run.
  static void require_alone(std::string_view command);

  // Runs `action`, which starts nothing and is not collective, on every rank that was launched; what it throws on one,
  // all throw. Collective.
  void together(const std::function<void()>& action);
  // UsageError unless all ranks that were launched have the same facts (core/graph/agreement.h). Collective.
  void require_same(const Facts& facts);

  // Prints the failure as one line on stderr and returns the exit code. If every rank fails, rank 0 alone prints; if
  // this rank fails and others go on, it prints and ends the whole job with that code.
  int report(std::exception_ptr failure);

 private:
  MpiCommunicator ranks_of_host();
  bool all_ranks_failed();

  int argc_;
  char** argv_;
  std::optional<MpiEnvironment> mpi_;
};

}  // namespace synthesizer
