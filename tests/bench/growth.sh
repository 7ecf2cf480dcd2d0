#!/usr/bin/env bash
# What a step costs as batch, length, width and layers grow, each apart from a small size, with its matrix products alone
# beside it: `bench step` and `bench step --products` in turn, the best of each.
#   tests/bench/growth.sh [--output DIR] [--rounds N] [--threads N] [--precision fp32|bf16] [--doublings N] [ATTENTION…]
# ATTENTION: V and R. Each size is doubled N times (3). What is measured is kept in DIR/measurements.jsonl, so the same
# command goes on after an interruption. DIR (runs/growth) gets growth.md and batch.svg, length.svg, width.svg, layers.svg:
# costs there are in units of the products of the smallest step of the first attention.
#   SYNTHESIZER: the program; build/release/bin/synthesizer
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "${SYNTHESIZER:-$here/../../build/release/bin/synthesizer}")
chart=$(dirname "$program")/bench_chart
. "$here/race_lines.sh"

output=runs/growth rounds=2 threads=2 precision=fp32 doublings=3
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --precision) precision=$2; shift 2 ;;
    --doublings) doublings=$2; shift 2 ;;
    -*) echo "unknown option $1: see the head of $0" >&2; exit 2 ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || set -- V R
mkdir -p "$output"
kept=$output/measurements.jsonl
touch "$kept"

# sizes AXIS VALUE: options of `bench step`
sizes() {
  local batch=4 length=128 width=256 layers=2
  local "$1=$2"
  echo "--batch $batch --source $length --target $((length / 4)) --layers $layers --d-model $width --d-ff $((4 * width))" \
    "--heads $((width / 64)) --d-head 64 --vocab 8192 --threads $threads --steps 5 --precision $precision"
}
machine=$(machine)
# keep SIDE AXIS VALUE ATTENTION ROUND [OPTION]: measures what is not there yet
keep() {
  local key
  key=$(jq -cn --arg side "$1" --arg axis "$2" --argjson value "$3" --arg attention "$4" --argjson round "$5" \
    --arg precision "$precision" --argjson threads "$threads" --arg machine "$machine" '$ARGS.named')
  [ "$(jq -s --argjson key "$key" 'any(.[]; del(.seconds) == $key)' "$kept")" = false ] || return 0
  echo "growth: $4, $2 $3: $1" >&2
  "$program" bench step --attention "$4" $(sizes "$2" "$3") --json "${@:6}" |
    jq -c --argjson key "$key" '$key + {seconds: .seconds_per_step}' >>"$kept"
}
for axis in batch length width layers; do
  case $axis in batch) first=4 ;; length) first=128 ;; width) first=256 ;; layers) first=2 ;; esac
  for ((doubling = 0; doubling <= doublings; ++doubling)); do
    for attention in "$@"; do
      for ((round = 0; round < rounds; ++round)); do
        keep step "$axis" $((first << doubling)) "$attention" "$round"
        keep products "$axis" $((first << doubling)) "$attention" "$round" --products
      done
    done
  done
done

# The best of each: {axis, value, attention, step, products}.
best=$(jq -s --arg machine "$machine" --arg precision "$precision" --argjson threads "$threads" '
  map(select(.machine == $machine and .precision == $precision and .threads == $threads))
  | group_by([.axis, .value, .attention])
  | map({axis: .[0].axis, value: .[0].value, attention: .[0].attention}
    + (reduce .[] as $m ({}; .[$m.side] = ([.[$m.side] // empty, $m.seconds] | min))))' "$kept")
unit=$(jq --arg attention "$1" 'map(select(.attention == $attention).products) | min' <<<"$best")
for axis in batch length width layers; do
  jq --arg axis "$axis" --arg machine "$machine" --arg precision "$precision" --argjson unit "$unit" '
    map(select(.axis == $axis)) as $all
    | {title: "A step as \($axis) grows (\($precision), \($machine))", x_label: $axis, y_label: "cost", log_x: false,
       series: [($all | group_by(.attention)[] | . as $of
         | {label: $of[0].attention, points: map([.value, .step / $unit])},
           {label: "\($of[0].attention): its products", dashed: true, points: map([.value, .products / $unit])})]}' <<<"$best" |
    "$chart" >"$output/$axis.svg"
done
{
  echo "$machine, $threads threads, $precision; cost: in units of the products of the smallest step of \`$1\`."
  echo
  echo "| what grows | to | attention | step | products | step / products |"
  echo "|---|---|---|---|---|---|"
  jq -r --argjson unit "$unit" '
    def digits: . * 100 | round / 100;
    sort_by((.axis as $axis | ["batch", "length", "width", "layers"] | index([$axis])), .attention, .value)[]
    | "| \(.axis) | \(.value) | `\(.attention)` | \(.step / $unit | digits) | \(.products / $unit | digits) | \(.step / .products | digits) |"' <<<"$best"
} | tee "$output/growth.md"
