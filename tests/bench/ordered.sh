#!/usr/bin/env bash
# What `reduction: ORDERED` costs: `bench step` on T5-small with and without it, in turn, the fastest of each.
#   tests/bench/ordered.sh [ATTENTION [LEAVES [ROUNDS]]]        build/release/bin/synthesizer, or $SYNTHESIZER
set -euo pipefail
attention=${1:-V} leaves=${2:-4} rounds=${3:-3}
here=$(dirname "${BASH_SOURCE[0]}")
program=$(realpath "${SYNTHESIZER:-$here/../../build/release/bin/synthesizer}")

step() { "$program" bench step --attention "$attention" --batch 8 --steps 4 --json "$@" | jq .seconds_per_step; }
fast=() ordered=() parts=()
for ((round = 0; round < rounds; ++round)); do
  fast+=("$(step)")
  ordered+=("$(step --leaves "$leaves")")
  parts+=("$(step --microbatches "$leaves")")
done
fastest() { printf '%s\n' "$@" | sort -g | head -1; }
jq -rn --arg attention "$attention" --argjson f "$(fastest "${fast[@]}")" --argjson o "$(fastest "${ordered[@]}")" \
  --argjson p "$(fastest "${parts[@]}")" --arg leaves "$leaves" '
  def digits: . * 1000 | round / 1000;
  "| attention | FAST, s | ORDERED, \($leaves) leaves, s | ratio | FAST, \($leaves) micro-batches, s | ratio |",
  "|---|---|---|---|---|---|",
  "| `\($attention)` | \($f | digits) | \($o | digits) | \($o / $f | digits) | \($p | digits) | \($p / $f | digits) |"'
