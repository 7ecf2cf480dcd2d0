#!/usr/bin/env bash
# T5-base and T5-large with R+V from one to 4,096 GPUs, planned: the fastest mesh of each number, what binds it, and
# plots. Once with a batch that grows with the ranks (16 rows each), once with one of 4,096 rows whatever the ranks.
# Nothing is started and no GPU is needed.
#   tests/bench/scaling.sh [FOLDER [DEVICE]]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "${SYNTHESIZER:-$here/../../build/release/bin/synthesizer}")
folder=$(realpath -m "${1:-runs/scaling}") device=${2:-h100}
mkdir -p "$folder"
cd "$here/../.."

plan_all() { # NAME SIZE OPTIONS…
  local name=$1 size=$2
  shift 2
  "$program" plan "configs/models/$size.txtpb" --search --ranks 1,8,64,512,4096 "$@" \
    --device "$device" --set model.vocab_size=32128 --set model.encoder.attention=R+V --set model.decoder.attention=R+V \
    --set steps=524288 --svg "$folder/${size}_$name.svg" --json >"$folder/${size}_$name.jsonl"
}
for size in base large; do
  plan_all growing "$size" --batch-per-rank 16
  plan_all fixed "$size" --set data.batch=4096
done
{
  echo "| model | batch | ranks | mesh | ZeRO, recompute, micro-batches | GB a rank | seconds a step | tokens/s | speed a rank, of the fewest's | of the peak | bound | compute, memory, starting ops, network | rank-hours |"
  echo "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
  for file in base_growing large_growing base_fixed large_fixed; do
    jq -rs --arg size "${file%_*}" --arg batch "${file#*_}" '
      def digits(n): . * n | round / n;
      def percent: . * 100 | round | "\(.)%";
      ([.[] | select(.fastest != [])][0] | .fastest[0].tokens_per_second / .ranks) as $one
      | .[] | . as $search
      | if .fastest == [] then "| T5-\($size) | \($batch) | \(.ranks) | nothing fits: the least needs \(.least_bytes / 1e9 | digits(10)) GB | | | | | | | | | |"
        else .fastest[0]
          | "| T5-\($size) | \($batch) | \($search.ranks) | \(.mesh.data) x \(.mesh.tensor) | \(.zero), \(.recompute), \(.microbatches) | \(.bytes / 1e9 | digits(10)) | \(.seconds | digits(1000)) "
          + "| \(.tokens_per_second | round) | \(.tokens_per_second / $search.ranks / $one | percent) | \(.utilisation | percent) | \(.bound) "
          + "| \([.shares[] | percent] | join(", ")) | \(.rank_hours | round) |"
        end' "$folder/$file.jsonl"
  done
} | tee "$folder/scaling.md"
