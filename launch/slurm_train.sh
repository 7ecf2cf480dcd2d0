#!/usr/bin/env bash
# sbatch [--nodes N --ntasks N …] launch/slurm_train.sh CONFIG [options of `synthesizer train`]
# Trains under Slurm, and goes on by itself: before the time limit or a preemption the run saves a checkpoint and exits 75, the job
# is put back into the queue, and the same command resumes. `synthesizer` is taken from $SYNTHESIZER, by default the release build.
#SBATCH --job-name=synthesizer
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
#SBATCH --signal=B:USR1@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=synthesizer-%j.log
set -uo pipefail
[ $# -gt 0 ] || { echo "usage: sbatch [options of sbatch] launch/slurm_train.sh CONFIG [options of train]" >&2; exit 2; }
cd "${SLURM_SUBMIT_DIR:-.}" || exit 2
program=${SYNTHESIZER:-build/release/bin/synthesizer}

# pmix is what Debian's Open MPI and Slurm have in common (pmi2 does not work with it). A Slurm without it starts mpirun instead.
if srun --mpi=list 2>&1 | grep -q pmix; then
  srun --mpi=pmix "$program" train "$@" &
else
  "$(dirname "$0")/mpirun.sh" "$program" train "$@" &
fi
pid=$!
trap 'kill -USR1 "$pid" 2>/dev/null' USR1 TERM

# Requeueing before the ranks have ended would kill them in mid-checkpoint; `wait` returns when a trap ran.
while wait "$pid"; code=$?; kill -0 "$pid" 2>/dev/null; do :; done
wait "$pid"
code=$?
if [ "$code" -eq 75 ]; then
  echo "saved and stopped: job $SLURM_JOB_ID goes back into the queue"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
