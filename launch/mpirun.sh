#!/usr/bin/env bash
# mpirun.sh ARGUMENTS OF mpirun...: mpirun for schedulers and people. TERM, INT (Ctrl-C) and USR1 ask the run to save a checkpoint and
# stop: ranks get USR1 and mpirun exits 75 once all have saved. Plain mpirun would kill them within two seconds and return 1.
# A second INT ends the run at once.
set -uo pipefail
. "$(dirname "$0")/environment.sh"

set -m  # mpirun in a process group of its own: a terminal's Ctrl-C then reaches this script alone
mpirun "$@" </dev/null &
pid=$!
set +m

interrupts=0
save() { kill -USR1 "$pid" 2>/dev/null; }
interrupt() {
  interrupts=$((interrupts + 1))
  if [ "$interrupts" -eq 1 ]; then save; else kill -TERM "$pid" 2>/dev/null; fi
}
trap save TERM USR1
trap interrupt INT

# `wait` returns when a trap ran; mpirun may go on for as long as a checkpoint takes.
while wait "$pid"; code=$?; kill -0 "$pid" 2>/dev/null; do :; done
wait "$pid"  # again, for a signal that came just as mpirun ended: bash remembers its status
code=$?
exit "$code"
