#!/usr/bin/env bash
# One rank of two threads against two ranks of one thread, in turn (A B A B): T5-small in float32, whole training steps.
# Prints each measurement's tokens a second and the ratio of the best of both.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=${SYNTHESIZER:-$here/../../build/release/bin/synthesizer}
. "$here/../../launch/environment.sh"
attention=${1:-V} rounds=${2:-3}

tokens() { grep -oE '"tokens_per_second":[0-9.]+' | cut -d: -f2; }
best() { sort -g | tail -n 1; }
one=() two=()
for _ in $(seq "$rounds"); do
  one+=("$("$program" bench step --attention "$attention" --threads 2 --steps 3 --json | tokens)")
  two+=("$(mpirun -n 2 --bind-to none "$program" bench step --attention "$attention" --threads 1 --steps 3 --json | tokens)")
done
printf 'one rank, two threads   %s\n' "${one[*]}"
printf 'two ranks, one thread   %s\n' "${two[*]}"
awk -v a="$(printf '%s\n' "${one[@]}" | best)" -v b="$(printf '%s\n' "${two[@]}" | best)" \
  'BEGIN { printf "two ranks reach %.1f%% of one\n", 100 * b / a }'
