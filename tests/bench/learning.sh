#!/usr/bin/env bash
# Trains the same small model with each kind of attention and prints a table (Markdown): validation loss of the targets that are
# text, against their unigram entropy, and the speed. The README's table and its loss curve come from here.
#
#   tests/bench/learning.sh --text 'GLOB' --validation 'GLOB' --tokenizer FILE --output DIR [--steps N] [--ranks N] [attention…]
#
# A run that is in DIR already is taken up where it stopped, so the same command goes on after an interruption.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=${SYNTHESIZER:-$here/../../build/release/bin/synthesizer}
. "$here/../../launch/environment.sh"

text= validation= tokenizer= output= steps=1000 ranks=2
while [ $# -gt 0 ]; do
  case $1 in
    --text) text=$2; shift 2 ;;
    --validation) validation=$2; shift 2 ;;
    --tokenizer) tokenizer=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    --steps) steps=$2; shift 2 ;;
    --ranks) ranks=$2; shift 2 ;;
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

for attention in "$@"; do
  mpirun -n "$ranks" "$program" train "$here/learning.txtpb" --run "$output/$attention" --steps "$steps" \
    --set data.shards="$output/train" --set data.validation="$output/validation" \
    --set model.encoder.attention="$attention" --set model.decoder.attention="$attention" >&2
done

# The value of a field in the last line of a run's metrics that has it.
last() { grep -oE "\"$2\":[-+.0-9e]+" "$output/$1/metrics.jsonl" | tail -n 1 | cut -d: -f2; }
# The median of a field over all lines.
median() { grep -oE "\"$2\":[-+.0-9e]+" "$output/$1/metrics.jsonl" | cut -d: -f2 | sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

echo "| attention | validation loss of text, nats a token | unigram entropy | below it | tokens/s |"
echo "|---|---|---|---|---|"
for attention in "$@"; do
  awk -v a="$attention" -v loss="$(last "$attention" validation_text_loss)" \
      -v entropy="$(last "$attention" text_unigram_entropy)" -v speed="$(median "$attention" tokens_per_second)" \
      'BEGIN { printf "| `%s` | %.3f | %.3f | %.1f%% | %d |\n", a, loss, entropy, 100 * (1 - loss / entropy), speed }'
done
