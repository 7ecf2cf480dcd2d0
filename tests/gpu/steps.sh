# Sourced by all: the steps, in order, and what each does. A step ends well or fails; what it says with `note` is its result.

# Under a sanitizer kernels are many times slower: the tests go in shards, each with some of every op. The first tells most.
shards=6
steps=(ops kernels golden memcheck-1 racecheck-1 ranks golden-ranks train-1 train-2
  peak race-V race-R+V race-R race-LightConv race-DynConv planned profile)
for ((i = 2; i <= shards; ++i)); do steps+=("memcheck-$i" "racecheck-$i"); done
steps+=(differences)

# Which tests are in which step: each in one. Apart are the golden cases on several ranks (threads of the one process), which are
# the same cases again, and differences, which take a step an element each.
op_tests='*OpRow*:*AllOps*:*Fuse*:*KeepCasts*:*SharedAttention*:Gradient*:Refused*:TrainStep*:*Mesh*:AllReduce*:Collectives*'
differences='*ByCentralDifferences*'
declare -A filter=([ops]="$op_tests-$differences" [differences]=$differences [kernels]="*-$op_tests:Golden*"
  [golden]='Golden*-*Ranks*' [golden-ranks]='Golden*Ranks*')

run_step() {
  case $1 in
    ops | kernels | golden | golden-ranks | differences) tests_named "${filter[$1]}" ;;
    memcheck-*) sanitized memcheck "${1#*-}" --leak-check no ;;
    racecheck-*) sanitized racecheck "${1#*-}" ;;
    ranks) ranks ;;
    train-*) train "${1#*-}" ;;
    peak) peak ;;
    race-*) race "${1#*-}" ;;
    planned) planned ;;
    profile) profile ;;
  esac
}

# tests_named FILTER
tests_named() {
  local code=0 output=$results/tests.tmp
  "$tests" --gtest_filter="$1" | tee "$output" || code=$?
  note "$(grep -E '^\[  PASSED|^\[==========\].* ran' "$output" | sed 's/^\[[^]]*\] *//' | paste -sd ';')"
  sed -n 's/^\[  FAILED  \] \([^ ,]*\.[^ ,]*\).*/- failed: \1/p' "$output" | sort -u | head -n 40 |
    while read -r line; do note "$line"; done
  rm -f "$output"
  return "$code"
}

# tool NAME: one of the toolkit.
tool() {
  command -v "$1" || ls "${CUDA_HOME:-/usr/local/cuda}/bin/$1" ||
    { echo "no $1: neither on PATH nor in CUDA_HOME or /usr/local/cuda" >&2; return 1; }
}

# sanitized TOOL SHARD [OPTIONS]
sanitized() {
  local checked=$1 shard=$2 sanitizer code=0 output=$results/tests.tmp
  sanitizer=$(tool compute-sanitizer)
  GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$((shard - 1)) "$sanitizer" --tool "$checked" "${@:3}" \
    --error-exitcode 9 "$tests" --gtest_brief=1 \
    --gtest_filter="*OpRow*:*Chain*:*Horizontal*:*Attention*:*Position*:*Einsum*:*Softmax*:*Window*-$differences" |
    tee "$output" || code=$?
  note "shard $shard of $shards: $(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY|^\[  PASSED' "$output" | paste -sd ';')"
  rm -f "$output"
  return "$code"
}

# field NAME [FILE]: the numbers of that name in lines of JSON.
field() { grep -oE "\"$1\":[-+.0-9e]+" "${2:--}" | cut -d: -f2; }

# losses_of NAME RANKS [--set…]: the losses of a short run, one a line, in NAME.losses
losses_of() {
  local name=$1 count=$2
  rm -rf "$results/ranks/$name"
  mpirun -n "$count" --bind-to none "$program" train tests/gpu/ranks.txtpb --run "$results/ranks/$name" \
    --set device=CUDA "data.shards=$corpus/train" "data.validation=$corpus/validation" "${@:3}"
  field loss "$results/ranks/$name/metrics.jsonl" >"$results/ranks/$name.losses"
  [ -s "$results/ranks/$name.losses" ]
}

# Ranks on the one GPU against one rank: losses agree to rounding.
ranks() {
  local name
  export NCCL_MULTI_RANK_GPU_ENABLE=1
  mkdir -p "$results/ranks"
  losses_of one 1
  note '| ranks, data x tensor | steps | last loss | largest difference from one rank |' '|---|---|---|---|'
  for name in 2x1 1x2 4x1 2x2; do
    losses_of "$name" $((${name%x*} * ${name#*x})) "parallel.mesh.data=${name%x*}" "parallel.mesh.tensor=${name#*x}"
    note "$(paste "$results/ranks/one.losses" "$results/ranks/$name.losses" | awk -v name="$name" '
      NF != 2 { missing = 1 }
      { d = $1 > $2 ? $1 - $2 : $2 - $1; if (d / $1 > most) most = d / $1; last = $2 }
      END { printf "| %s | %d | %s | %.1e |", name, NR, last, most; exit missing || most > 1e-3 }')" || return 1
  done
}

# row FIELD…: of each line of metrics that it reads, as a row of a table.
row() {
  local line name cells
  while read -r line; do
    cells="|"
    for name in "$@"; do cells+=" $(field "$name" <<<"$line") |"; done
    note "$cells"
  done
}

# train PART: five and a half minutes of one run, which is told to save and stop.
train() {
  local code=0 run=$results/train
  timeout --preserve-status --signal=USR1 --kill-after=60 330 "$program" train tests/gpu/train.txtpb --run "$run" \
    --set "data.shards=$corpus/train" "data.validation=$corpus/validation" || code=$?
  [ $code -eq 75 ] || { echo "train ended with exit code $code, expected 75: saved and stopped" >&2; return 1; }
  cp "$run/report.html" "$results/train.html"
  cp "$run/metrics.jsonl" "$results/train.jsonl"
  note "T5-small, R+V, bf16, batch 128 x 512/114; curve in train.html, all lines in train.jsonl" "" \
    "| step | loss | tokens/s |" "|---|---|---|"
  grep '"loss":' "$run/metrics.jsonl" >"$results/lines.tmp"
  awk -v lines="$(wc -l <"$results/lines.tmp")" '(NR - 1) % int(lines / 15 + 1) == 0 || NR == lines' "$results/lines.tmp" |
    row step loss tokens_per_second
  note "" "| step | validation loss |" "|---|---|"
  grep '"validation_loss":' "$run/metrics.jsonl" | row step validation_loss
  rm "$results/lines.tmp"
}

sizes="--batch 128 --source 512 --target 114 --layers 12 --d-model 768 --d-ff 3072 --heads 12 --d-head 64 --vocab 32128"

# Large bfloat16 products by PyTorch's cuBLAS: what this card reaches at all.
peak() {
  "$python" - >"$results/peak.json" <<'PYTHON'
import torch, time
best = 0
for n in (4096, 8192, 16384):
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3): a @ b
    for _ in range(5):
        torch.cuda.synchronize(); t = time.perf_counter()
        for _ in range(10): a @ b
        torch.cuda.synchronize(); best = max(best, 20 * n ** 3 / (time.perf_counter() - t))
print('{"flops":%.6e}' % best)
PYTHON
  note "bf16 products reach $(awk -v f="$(field flops "$results/peak.json")" 'BEGIN { printf "%.0f TFLOP/s", f / 1e12 }')"
}

# race KIND: a step of ours and one of the peer, in turn, twice; the best of each.
race() {
  local kind=$1 lines=$results/race-$1.jsonl round ours theirs=
  rm -f "$lines" "$lines.peer"
  for round in 1 2; do  # $sizes are several words
    "$program" bench step --device cuda --attention "$kind" --precision bf16 $sizes --steps 20 --json | tee -a "$lines"
    if [ -n "$peer" ]; then
      "$python" "$peer" --device cuda --kinds "$kind" --dtype bf16 --compile $sizes --steps 20 | tee -a "$lines.peer"
    fi
  done
  best() { field "$1" "$2" | sort -g | head -n 1; }
  ours=$(best seconds_per_step "$lines")
  if [ -n "$peer" ]; then theirs=$(best seconds_per_step "$lines.peer"); fi
  note "T5-base, \`$kind\`, bf16, batch 128 x 512/114:" "$(awk -v ours="$ours" -v theirs="$theirs" \
    -v flops="$(best flops_per_step "$lines")" -v bytes="$(best peak_bytes "$lines")" \
    -v peak="$(field flops "$results/peak.json" 2>/dev/null)" 'BEGIN {
      printf "%.4f s a step, %.0f tokens/s, %.0f TFLOP/s", ours, 128 * 626 / ours, flops / ours / 1e12
      if (peak) printf ", %.1f%% of the measured peak", 100 * flops / ours / peak
      printf ", %.1f GB", bytes / 1e9
      if (theirs) printf "; peer %.4f s, peer / ours %.2f", theirs, theirs / ours
    }')"
  [ -n "$peer" ] || { echo "no race: SYNTHESIZER_PEER names no script" >&2; return 1; }
}

# What the plan says with this card's own rates, beside what the races have measured.
planned() {
  local kind rates=$results/gpu.txtpb
  declare -A config=([V]=base [R+V]=base_r_v [R]=base_r [LightConv]=base_lightconv [DynConv]=base_dynconv)
  "$program" bench kernels --device cuda --output "$rates" --json >"$results/kernels.jsonl"
  note '| attention | planned s a step | measured / planned | planned GB | measured - planned bytes |' '|---|---|---|---|---|'
  for kind in V R+V R LightConv DynConv; do
    [ -s "$results/race-$kind.jsonl" ] || { note "| $kind | no race |"; continue; }
    "$program" plan "configs/models/${config[$kind]}.txtpb" --device "$rates" --json --set device=CUDA precision=BF16 dropout=0 \
      optimizer.kind=ADAMW model.vocab_size=32128 model.max_length=512 data.batch=128 data.input_length=512 \
      data.target_length=114 >"$results/plan-$kind.json"
    note "$(awk -v kind="$kind" -v seconds="$(sed -n 's/.*"seconds":{"step":\([^,]*\).*/\1/p' "$results/plan-$kind.json")" \
      -v bytes="$(sed -n 's/.*"bytes":{\([^}]*\)}.*/\1/p' "$results/plan-$kind.json" | tr , '\n' |
        awk -F: '!/"(all|evaluation)"/ { sum += $2 } END { printf "%.0f", sum }')" \
      -v measured="$(field seconds_per_step "$results/race-$kind.jsonl" | sort -g | head -n 1)" \
      -v taken="$(field peak_bytes "$results/race-$kind.jsonl" | head -n 1)" 'BEGIN {
        printf "| %s | %.4f | %.2f | %.2f | %d |", kind, seconds, measured / seconds, bytes / 1e9, taken - bytes
      }')"
  done
}

# Where the time of a step goes: by the program's own events, and by ncu where the counters may be read.
profile() {
  local ncu
  "$program" bench step --device cuda --attention R+V --precision bf16 $sizes --steps 3 --profile "$results/profile" --json
  note "a step of T5-base, \`R+V\`, by op; all in profile/by_op.csv" '```' "$(head -n 25 "$results/profile/by_op.csv")" '```'
  if ncu=$(tool ncu) && timeout 200 "$ncu" --launch-skip 600 --launch-count 150 --section SpeedOfLight --csv "$program" \
    bench step --device cuda --attention R+V --precision bf16 $sizes --steps 2 --json >"$results/profile/ncu.csv" 2>&1; then
    note "" "counters of 150 kernels: profile/ncu.csv"
  else
    note "" "no counters by ncu: $(tail -n 1 "$results/profile/ncu.csv" 2>/dev/null | cut -c1-200)"
  fi
}
