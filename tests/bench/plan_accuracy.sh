#!/usr/bin/env bash
# Planned against measured seconds of a step, on this machine: device files by `bench kernels` and `bench comm`, six
# configurations through `plan` and, in turn, through `bench step`; of the measured the fastest of all rounds counts.
# Prints a Markdown table. Where other programs use the machine, the last three columns are the ones to look at: the
# computing alone, measured in processor time. Both sides run on two cores: one rank of two threads, or two ranks of one.
#   tests/bench/plan_accuracy.sh [ROUNDS [FOLDER OF THE DEVICE FILES, made where they are not there]]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$(realpath "${SYNTHESIZER:-$here/../../build/release/bin/synthesizer}")
. "$here/../../launch/environment.sh"
export OMP_WAIT_POLICY=passive  # a thread that spins for one that another program keeps away would be counted
rounds=${1:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
devices=${2:-$work}
mkdir -p "$devices"

ranks() { # COUNT ARGUMENTS…
  local count=$1
  shift
  if [ "$count" = 1 ]; then "$program" "$@"; else mpirun -n "$count" --bind-to none "$program" "$@"; fi
}
if [ ! -f "$devices/1.txtpb" ]; then
  ranks 1 bench kernels --threads 2 --output "$devices/1.txtpb" >&2
fi
if [ ! -f "$devices/2.txtpb" ]; then
  ranks 2 bench kernels --threads 1 --output "$devices/2.part" >&2
  OMP_NUM_THREADS=1 ranks 2 bench comm --min 4096 --output "$devices/2.part" >&2
  mv "$devices/2.part" "$devices/2.txtpb"
fi

# attention layers d_model heads batch source target vocabulary data tensor
cases=(
  "V 2 512 8 4 512 114 32128 1 1"
  "R+V 4 256 4 8 256 64 8192 1 1"
  "D 2 512 8 8 128 64 16384 2 1"
  "R 4 256 4 16 256 64 8192 2 1"
  "V 2 512 8 8 256 64 16384 1 2"
  "R+V 2 768 12 4 256 64 8192 1 2"
)

plan() { # CASE
  read -r attention layers d heads batch source target vocab data tensor <<<"$1"
  cat >"$work/run.txtpb" <<END
model {
  vocab_size: $vocab d_model: $d d_ff: $((4 * d)) num_heads: $heads d_head: $((d / heads)) max_length: 512
  encoder { layers: $layers attention: "$attention" filter_width: 9 }
  decoder { layers: $layers attention: "$attention" filter_width: 9 }
}
data { batch: $batch input_length: $source target_length: $target }
optimizer { kind: ADAMW } dropout: 0 z_loss: 0 clip_norm: 0
END
  "$program" plan "$work/run.txtpb" --mesh "data=$data,tensor=$tensor" --device "$devices/$((data * tensor)).txtpb" --json
}
step() { # CASE
  read -r attention layers d heads batch source target vocab data tensor <<<"$1"
  ranks $((data * tensor)) bench step --attention "$attention" --layers "$layers" --d-model "$d" --d-ff $((4 * d)) \
    --heads "$heads" --d-head $((d / heads)) --batch "$batch" --source "$source" --target "$target" --vocab "$vocab" \
    --threads $((2 / (data * tensor))) --tensor "$tensor" --steps 5 --json
}

declare -A measured processor
for _ in $(seq "$rounds"); do
  for case in "${cases[@]}"; do
    result=$(step "$case")
    seconds=$(jq .seconds_per_step <<<"$result")
    measured[$case]=$(printf '%s\n' "$seconds" ${measured[$case]:-} | sort -g | head -n 1)
    processor[$case]=$(printf '%s\n' "$(jq .processor_seconds_per_step <<<"$result")" ${processor[$case]:-} | sort -g | head -n 1)
    # The same step, or the comparison means nothing.
    planned_flops=$(plan "$case" | jq '.product_flops * .ranks')
    if [ "$planned_flops" != "$(jq .flops_per_step <<<"$result")" ]; then
      echo "plan_accuracy: $case: planned $planned_flops operations, ran $(jq .flops_per_step <<<"$result")" >&2
      exit 1
    fi
  done
done

echo "| attention, layers, d, batch, lengths, vocabulary | data x tensor | bound | planned, s | measured, s | ratio | planned computing, s | measured, s | ratio |"
echo "|---|---|---|---|---|---|---|---|---|"
for case in "${cases[@]}"; do
  read -r attention layers d heads batch source target vocab data tensor <<<"$case"
  jq -r --argjson measured "${measured[$case]}" --argjson processor "${processor[$case]}" \
    --arg case "\`$attention\`, $layers + $layers, $d, $batch, $source + $target, $vocab" --arg mesh "$data x $tensor" '
      def digits(n): . * n | round / n;
      (.seconds | .step - .exposed) as $computing
      | "| \($case) | \($mesh) | \(.bound) | \(.seconds.step | digits(10000)) | \($measured | digits(10000)) | \(.seconds.step / $measured | digits(100)) "
      + "| \($computing | digits(10000)) | \($processor | digits(10000)) | \($computing / $processor | digits(100)) |"' <<<"$(plan "$case")"
done
