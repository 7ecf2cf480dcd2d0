#!/usr/bin/env bash
# The race: a training step by `bench step` against its own matrix products alone (`bench step --products`), against a
# PyTorch peer tuned by hand and against transformers' T5. In turn, with the same threads; the best of each counts.
#   tests/bench/race.sh [--output DIR] [--rounds N] [--threads N] [--steps N] [--sizes 'OPTIONS OF bench step'] [ROW…]
# A row is an attention and a precision, V:fp32 or R+V:bf16; without any, all of them run. What a row measured is kept in
# DIR/measurements.jsonl, a round at a time: the same command goes on after an interruption, rows can be run one by one,
# and the tables are made of all that is there. More --rounds add to it. A folder is of one machine and one size.
# DIR (runs/race) gets race.md (ratios, to be pasted), race.jsonl (a line a row, the machine in it) and race.svg.
#
#   SYNTHESIZER             the program; build/release/bin/synthesizer
#   SYNTHESIZER_PEER        the tuned peer: a Python script that takes --kinds, --dtype, --compile and the sizes of
#                           `bench step`, and prints a line of JSON with seconds_per_step and peak_bytes. Without it, no
#                           column for it
#   SYNTHESIZER_PYTHON      a Python with torch, and transformers for its column; python3
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "${SYNTHESIZER:-$here/../../build/release/bin/synthesizer}")
chart=$(dirname "$program")/bench_chart
python=${SYNTHESIZER_PYTHON:-python3}
peer=${SYNTHESIZER_PEER:-}
. "$here/race_lines.sh"

output=runs/race rounds=2 threads=2 steps=5
sizes="--batch 8 --source 512 --target 114 --layers 6 --d-model 512 --d-ff 2048 --heads 8 --d-head 64 --vocab 32128"
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --steps) steps=$2; shift 2 ;;
    --sizes) sizes=$2; shift 2 ;;
    -*) echo "unknown option $1: see the head of $0" >&2; exit 2 ;;
    *) break ;;
  esac
done
if [ $# -eq 0 ]; then
  for precision in fp32 bf16; do
    for attention in V R R+V D LightConv DynConv; do set -- "$@" "$attention:$precision"; done
  done
fi
for row in "$@"; do
  [[ $row == *:fp32 || $row == *:bf16 ]] || { echo "row $row: expected ATTENTION:fp32 or ATTENTION:bf16" >&2; exit 2; }
done

has() { "$python" -c "import $1" 2>/dev/null; }
without() { echo "race: without the column of $1: $2" >&2; }
sides=(step products)
if [ -z "$peer" ]; then without "the tuned peer" "SYNTHESIZER_PEER names no script"
elif ! has torch; then without "the tuned peer" "$python has no torch"
else sides+=(tuned); fi
if has transformers && has torch; then sides+=(transformers)
else without "transformers" "$python has no torch and transformers"; fi
export OMP_NUM_THREADS=$threads

mkdir -p "$output"
kept=$output/measurements.jsonl
touch "$kept"
about=$(jq -cn --arg machine "$(machine)" --argjson threads "$threads" --arg sizes "$sizes" '$ARGS.named')
if [ -s "$kept" ] && [ "$(jq -c '{machine, threads, sizes}' "$kept" | sort -u)" != "$(jq -c '{machine, threads, sizes}' <<<"$about")" ]; then
  echo "race: $output has measurements of another machine, thread count or size: give another --output" >&2
  exit 2
fi

# measure SIDE ATTENTION PRECISION: a line of JSON
measure() {
  local attention=$2 precision=$3
  case $1 in  # $sizes are several words
    step) "$program" bench step --attention "$attention" --precision "$precision" $sizes --threads "$threads" --steps "$steps" --json ;;
    products) "$program" bench step --products --attention "$attention" --precision "$precision" $sizes --threads "$threads" --steps "$steps" --json ;;
    tuned) "$python" "$peer" --kinds "$attention" --dtype "$precision" --compile $sizes --threads "$threads" --steps "$steps" ;;
    transformers) "$python" "$here/race_transformers.py" --dtype "$precision" $sizes --threads "$threads" --steps "$steps" ;;
  esac
}

for row in "$@"; do
  attention=${row%:*} precision=${row#*:}
  round_sides=("${sides[@]}")
  [ "$attention" = V ] || round_sides=("${sides[@]/transformers}")  # it has dot-product attention only
  # A round counts when each of its sides has run: one that was interrupted is run anew, since all are to have met the
  # same minutes of the machine. `sides` is in the line: a round without peers does not stand for one with them.
  wanted=$(printf '%s ' "${round_sides[@]}" | xargs)
  done_rounds=$(jq -s --arg row "$row" --arg wanted "$wanted" \
    '[.[] | select(.row == $row and .side == "step" and .sides == $wanted)] | length' "$kept")
  for ((round = done_rounds; round < rounds; ++round)); do
    lines=
    for side in $wanted; do
      echo "race: $row, round $((round + 1)) of $rounds: $side" >&2
      if ! result=$(measure "$side" "$attention" "$precision"); then
        echo "race: $row: $side failed; this row is left out" >&2
        continue 3
      fi
      lines+=$(jq -c --argjson about "$about" --arg row "$row" --arg attention "$attention" --arg precision "$precision" \
        --arg side "$side" --arg sides "$wanted" --arg time "$(date -u +%FT%TZ)" \
        '{row: $row, attention: $attention, precision: $precision, side: $side, sides: $sides, time: $time,
          seconds: .seconds_per_step, peak_bytes, flops: .flops_per_step} + $about' <<<"$result")$'\n'
    done
    printf '%s' "$lines" >>"$kept"
  done
done

# A line a row: the best of each side.
jq -cs --argjson about "$about" '
  group_by(.row) | map(
    (reduce group_by(.side)[] as $of ({}; .[$of[0].side] = {seconds: ($of | map(.seconds) | min),
      peak_bytes: ($of | map(.peak_bytes // empty) | min), flops: $of[0].flops, runs: ($of | length)})) as $best
    | {row: .[0].row, attention: .[0].attention, precision: .[0].precision} + $about + {best: $best})
  | sort_by(.precision == "bf16", (.attention as $a | ["V", "R", "R+V", "D", "LightConv", "DynConv"] | index([$a]) // 99))
  | .[]' "$kept" >"$output/race.jsonl"
race_table "$output/race.jsonl" | tee "$output/race.md"
race_bars "$output/race.jsonl" | "$chart" >"$output/race.svg"
echo "race: $output/race.md, race.jsonl, race.svg" >&2
