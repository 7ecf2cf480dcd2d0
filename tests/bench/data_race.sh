#!/usr/bin/env bash
# `data build` against SentencePiece's own encoder, and the loader against mosaicml-streaming with a span-corruption
# collator in numpy and against what a training step eats. Same text, in turn, the best of each; ratios.
#   tests/bench/data_race.sh [--output DIR] [--text GLOB] [--tokenizer FILE] [--copies N] [--rounds N]
# GLOB: .json.gz, .jsonl or .txt (a document a line); without it the bundled text, N copies of which make it last (4).
# Without FILE a vocabulary of 8,000 pieces is made of it. DIR (runs/data_race) keeps text, vocabulary, shards, the
# peer's folder and what was measured, so that the same command goes on after an interruption, and gets data_race.md and data_race.jsonl.
#
#   SYNTHESIZER             the program; build/release/bin/synthesizer
#   SYNTHESIZER_PYTHON      a Python with streaming (mosaicml-streaming), torch, sentencepiece and numpy; python3
#   spm_encode in PATH      of Debian's package sentencepiece
# What is not there is said, and its row left out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "${SYNTHESIZER:-$here/../../build/release/bin/synthesizer}")
python=${SYNTHESIZER_PYTHON:-python3}
. "$here/race_lines.sh"

output=runs/data_race text="$here/../../data/sample/train-*.json.gz" tokenizer= copies=4 rounds=3
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=$2; shift 2 ;;
    --text) text=$2; shift 2 ;;
    --tokenizer) tokenizer=$2; shift 2 ;;
    --copies) copies=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    *) echo "unknown option $1: see the head of $0" >&2; exit 2 ;;
  esac
done
mkdir -p "$output"
cores=$(nproc)

# Both encoders read the very same bytes: a document a line.
documents() {
  local file
  for file in $text; do  # a pattern
    case $file in
      *.json.gz) gzip -dc "$file" | jq -r '.text | split("\n") | join(" ")' ;;
      *.jsonl) jq -r '.text | split("\n") | join(" ")' "$file" ;;
      *.txt) cat "$file" ;;
      *) echo "data_race: $file: expected .json.gz, .jsonl or .txt" >&2; exit 2 ;;
    esac
  done
}
if [ ! -f "$output/text.txt" ]; then
  echo "data_race: $copies copies of $text" >&2
  documents >"$output/once.txt"
  for ((copy = 0; copy < copies; ++copy)); do cat "$output/once.txt"; done >"$output/text.part"
  rm "$output/once.txt"
  mv "$output/text.part" "$output/text.txt"
fi
if [ -z "$tokenizer" ]; then
  tokenizer=$output/spiece.model
  [ -f "$tokenizer" ] || "$program" data vocab --input "$text" --size 8000 --output "$tokenizer" >&2
fi

# timed COMMAND…: its wall seconds
timed() {
  local start=$EPOCHREALTIME
  "$@" >&2
  awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}
build() {
  rm -rf "$output/shards"  # or it would be found finished
  "$program" data build --input "$output/text.txt" --tokenizer "$tokenizer" --output "$output/shards" --threads "$cores"
}
encode() { spm_encode --model="$tokenizer" --output_format=id --input="$output/text.txt" --output=/dev/null; }
config() {
  cat >"$output/run.txtpb" <<END
model { max_length: 512 d_model: 512 d_ff: 2048 num_heads: 8 d_head: 64 encoder { layers: 6 attention: "R" } decoder { layers: 6 attention: "R" } }
data { shards: "$(realpath "$output")/shards" objective: SPAN_DENOISING input_length: 512 batch: 128 }
END
}
step() {  # as fast as it is: in bf16 where the program has it
  { "$program" bench step --attention R --precision bf16 --threads "$cores" --steps 3 --json 2>/dev/null ||
    "$program" bench step --attention R --precision fp32 --threads "$cores" --steps 3 --json; } | jq .tokens_per_second
}

encoder=1 streaming=1
command -v spm_encode >/dev/null || { encoder=; echo "data_race: without SentencePiece's encoder: no spm_encode in PATH" >&2; }
"$python" -c 'import streaming, torch, sentencepiece' 2>/dev/null ||
  { streaming=; echo "data_race: without mosaicml-streaming: $python lacks streaming, torch or sentencepiece" >&2; }
config
kept=$output/measurements.jsonl
touch "$kept"
machine=$(machine)
# keep SIDE ROUND COMMAND…: what COMMAND prints, unless it is there already
keep() {
  local value
  [ "$(jq -s --arg side "$1" --argjson round "$2" 'any(.[]; .side == $side and .round == $round)' "$kept")" = false ] || return 0
  echo "data_race: round $(($2 + 1)) of $rounds: $1" >&2
  value=$("${@:3}")
  jq -cn --arg side "$1" --argjson round "$2" --argjson value "$value" --arg machine "$machine" '$ARGS.named' >>"$kept"
}
loader() { "$program" bench data "$output/run.txtpb" --batches 500 --json | jq .tokens_per_second; }
peer() {
  "$python" "$here/data_race_peer.py" --text "$output/text.txt" --tokenizer "$tokenizer" --folder "$output/mds" | jq .tokens_per_second
}
for ((round = 0; round < rounds; ++round)); do
  keep build_seconds "$round" timed build
  [ -z "$encoder" ] || keep encoder_seconds "$round" timed encode
  keep loader "$round" loader
  [ -z "$streaming" ] || keep streaming "$round" peer
  keep step "$round" step
done
jq -cs --arg machine "$machine" --argjson cores "$cores" --argjson bytes "$(stat -c %s "$output/text.txt")" '
  def of(side): map(select(.side == side).value);
  {machine: $machine, cores: $cores, bytes: $bytes, build_seconds: (of("build_seconds") | min), encoder_seconds: (of("encoder_seconds") | min),
   loader: (of("loader") | max), streaming: (of("streaming") | max), step: (of("step") | max)}' "$kept" >"$output/data_race.jsonl"
jq -r '
  def ratio(a; b): if a and b then a / b * 100 | round / 100 | tostring else "not measured" end;
  "\(.machine); \(.bytes / 1e6 | round) MB of text.",
  "",
  "| what | ratio |",
  "|---|---|",
  "| `data build`, \(.cores) threads / SentencePiece'"'"'s encoder, one thread | \(ratio(.encoder_seconds; .build_seconds)) |",
  "| the same, for each core | \(ratio(.encoder_seconds; if .build_seconds then .build_seconds * .cores else null end)) |",
  "| loader / mosaicml-streaming and a span-corruption collator | \(ratio(.loader; .streaming)) |",
  "| loader / what a step of T5-small with `R` eats | \(ratio(.loader; .step)) |"' "$output/data_race.jsonl" | tee "$output/data_race.md"
