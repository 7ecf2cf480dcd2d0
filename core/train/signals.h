// Signals that ask a run to save and stop. USR1 is the polite request (schedulers, launch/mpirun.sh). mpirun and Slurm
// announce a kill by CONT, then TERM, then KILL: within 2 s under mpirun, so CONT is reason to save already.
#pragma once

#include <csignal>

#include "core/graph/communicator.h"

namespace synthesizer {

enum class StopRequest {
  kNone,
  kSave,     // CONT: perhaps the announcement of a kill, perhaps only `fg`: save now and go on
  kStop,     // USR1: finish the step, save, exit 75
  kStopNow,  // TERM, INT: the same, with little time
};

// Handles USR1, TERM, INT and CONT while it lives, and puts back what was there before. One at a time in a process:
// Error for a second. A second INT kills at once.
class SignalHandlers {
 public:
  SignalHandlers();
  ~SignalHandlers();
  SignalHandlers(const SignalHandlers&) = delete;
  SignalHandlers& operator=(const SignalHandlers&) = delete;

  // The strongest request that this rank has had.
  StopRequest requested() const;
  // Collective: the strongest request of any rank, the same on all.
  StopRequest requested(Communicator& world) const;
  // The kSave requests so far are met; stronger ones stay.
  void saved();

 private:
  struct sigaction before_[4];
};

}  // namespace synthesizer
