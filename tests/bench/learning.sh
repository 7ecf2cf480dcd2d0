#!/usr/bin/env bash
# Trains the same small model with each kind of attention and prints a table (Markdown): validation loss of the targets that are
# text, against their unigram entropy, and the speed. The README's table comes from here.
#
#   tests/bench/learning.sh --text 'GLOB' --validation 'GLOB' --tokenizer FILE --output DIR [--steps N] [--ranks N] [--rounds N] [attention…]
#
# A run that is in DIR already is taken up where it stopped, so the same command goes on after an interruption.
# Speed is measured apart, when all runs have ended: every attention for 30 steps, in turn, ROUNDS times; the fastest 10 steps count.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=${SYNTHESIZER:-$here/../../build/release/bin/synthesizer}
. "$here/../../launch/environment.sh"

text= validation= tokenizer= output= steps=1000 ranks=2 rounds=3
while [ $# -gt 0 ]; do
  case $1 in
    --text) text=$2; shift 2 ;;
    --validation) validation=$2; shift 2 ;;
    --tokenizer) tokenizer=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    --steps) steps=$2; shift 2 ;;
    --ranks) ranks=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    -*) echo "unknown option $1: see the head of $0" >&2; exit 2 ;;
    *) break ;;
  esac
done
for name in text validation tokenizer output; do
  [ -n "${!name}" ] || { echo "--$name is missing: see the head of $0" >&2; exit 2; }
done
[ $# -gt 0 ] || set -- V R Fix D FR R+V

mkdir -p "$output"
"$program" data build --input "$text" --tokenizer "$tokenizer" --output "$output/train" >&2
"$program" data build --input "$validation" --tokenizer "$tokenizer" --output "$output/validation" >&2

# train ATTENTION RUN STEPS [OPTION…]
train() {
  mpirun -n "$ranks" "$program" train "$here/learning.txtpb" --run "$2" --steps "$3" \
    --set data.shards="$output/train" --set data.validation="$output/validation" \
    --set model.encoder.attention="$1" --set model.decoder.attention="$1" "${@:4}" >&2
}
for attention in "$@"; do train "$attention" "$output/$attention" "$steps"; done
rm -rf "$output/speed"
for round in $(seq "$rounds"); do
  for attention in "$@"; do
    train "$attention" "$output/speed/$attention-$round" 30 --set schedule.warmup=0 --set eval.every=0 --set eval.batches=1
  done
done

# The value of a field in the last line of a run's metrics that has it.
last() { grep -oE "\"$2\":[-+.0-9e]+" "$output/$1/metrics.jsonl" | tail -n 1 | cut -d: -f2; }
# Tokens a second of the fastest steps of all rounds.
fastest() { cat "$output/speed/$1"-*/metrics.jsonl | grep -oE '"tokens_per_second":[0-9.]+' | cut -d: -f2 | sort -g | tail -n 1; }

echo "| attention | validation loss of text, nats a token | unigram entropy | below it | tokens/s |"
echo "|---|---|---|---|---|"
for attention in "$@"; do
  awk -v a="$attention" -v loss="$(last "$attention" validation_text_loss)" \
      -v entropy="$(last "$attention" text_unigram_entropy)" -v speed="$(fastest "$attention")" \
      'BEGIN { printf "| `%s` | %.3f | %.3f | %.1f%% | %d |\n", a, loss, entropy, 100 * (1 - loss / entropy), speed }'
done
