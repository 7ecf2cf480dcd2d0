#!/usr/bin/env bash
# run.sh [SECONDS]: libFuzzer on each fuzz target of preset `fuzz`, a minute each or as long as is said, from its kept corpus.
# What is new goes to build/fuzz/corpus and is gone on with the next time; an input that fails is named and ends the run.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-60}
# A single allocation of half a gigabyte is memory by a size that nobody checked.
limits=(-timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=512 -max_len=8192)
for target in build/fuzz/tests/fuzz_*; do
  name=${target##*/fuzz_}
  mkdir -p "build/fuzz/corpus/$name"
  echo "fuzz_$name: $seconds s"
  log=build/fuzz/$name.log
  "$target" "${limits[@]}" -max_total_time="$seconds" -artifact_prefix="build/fuzz/$name-" \
    "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1 || { tail -n 40 "$log"; echo "fuzz_$name failed: $log" >&2; exit 1; }
  grep -E '^Done' "$log"
done
