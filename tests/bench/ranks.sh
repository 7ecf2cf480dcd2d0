#!/usr/bin/env bash
# One rank of two threads against two ranks of one thread, the latter with gradients sent as they are and as bfloat16, in
# turn: T5-small in float32 and in bf16, whole training steps. Prints the best tokens a second of each as a table.
#   tests/bench/ranks.sh [ATTENTION [ROUNDS [OPTIONS OF bench step...]]]    build/release/bin/synthesizer, or $SYNTHESIZER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=${SYNTHESIZER:-$here/../../build/release/bin/synthesizer}
. "$here/../../launch/environment.sh"
attention=${1:-V} rounds=${2:-3}
shift $(($# < 2 ? $# : 2))

step() { bench step --attention "$attention" --steps 3 "$@" --json | jq .tokens_per_second; }
bench() { if [ "$ranks" -eq 1 ]; then "$program" bench "$@"; else mpirun -n "$ranks" --bind-to none "$program" bench "$@"; fi; }
best() { printf '%s\n' "$@" | sort -g | tail -n 1; }

printf '| attention | precision | 1 x 2, tokens/s | 2 x 1 | of 1 x 2 | 2 x 1, wire bf16 | of 1 x 2 |\n|---|---|---|---|---|---|---|\n'
for precision in fp32 bf16; do
  one=() two=() sent=()
  for _ in $(seq "$rounds"); do
    ranks=1 && one+=("$(step "$@" --precision "$precision" --threads 2)")
    ranks=2 && two+=("$(step "$@" --precision "$precision" --threads 1)")
    ranks=2 && sent+=("$(step "$@" --precision "$precision" --threads 1 --wire bf16)")
  done
  jq -rn --arg attention "$attention" --arg precision "$precision" --argjson one "$(best "${one[@]}")" \
    --argjson two "$(best "${two[@]}")" --argjson sent "$(best "${sent[@]}")" '
    def percent: . / $one * 1000 | round / 10 | "\(.)%";
    "| `\($attention)` | \($precision) | \($one | round) | \($two | round) | \($two | percent) | \($sent | round) | \($sent | percent) |"'
done
