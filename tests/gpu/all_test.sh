#!/usr/bin/env bash
# all_test.sh: steps of tests/gpu/all with programs that only act as if: order, skipping, failures, what is written.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/root
mkdir -p "$root"/{bin,launch,tests/gpu,tests/golden,corpus}
cp "$here"/{all,steps.sh,ranks.txtpb,train.txtpb} "$root/tests/gpu"
cp "$here/../../launch/bundle/environment.sh" "$root/launch"
export CALLS=$folder/calls
: >"$CALLS"

# fake NAME: a program that notes how it was called and does what is on standard input.
fake() {
  { printf '#!/usr/bin/env bash\necho "%s $*" >>"$CALLS"\n' "$1"; cat; } >"$root/bin/$1"
  chmod +x "$root/bin/$1"
}
fake nvidia-smi <<'FAKE'
echo "${FAKE_DEVICE:-Some GPU}, 1, 2 MiB"
FAKE
fake gpu_tests <<'FAKE'
case $* in
  *Golden\*Ranks*) printf '[  FAILED  ] Golden.Float64TwoRanks (3 ms)\nwhat went wrong\n'; exit 1 ;;
esac
printf '[==========] 2 tests from 1 test suite ran. (1 ms total)\n[  PASSED  ] 2 tests.\n'
FAKE
fake compute-sanitizer <<'FAKE'
echo "========= ERROR SUMMARY: 0 errors"
FAKE
fake mpirun <<'FAKE'
shift 4
exec "$@"
FAKE
fake synthesizer <<'FAKE'
run=
for ((i = 1; i < $#; ++i)); do [ "${!i}" != --run ] || { j=$((i + 1)); run=${!j}; }; done
case "$*" in
  --version) echo "fake 1" ;;
  bench\ step*--profile*) mkdir -p "${@: -2:1}"; echo "op,seconds" >"${@: -2:1}/by_op.csv" ;;
  bench\ kernels*) echo '{"op_seconds":1}' ;;
  plan*) echo '{"parameters":7,"bytes":{"parameters":1000000000,"step":900000000,"evaluation":5,"all":3},"seconds":{"step":0.4,"compute":1}}' ;;
  bench\ step*) echo '{"seconds_per_step":0.5,"flops_per_step":1e14,"peak_bytes":2000000000,"loss":3}' ;;
  train*)
    mkdir -p "$run"
    {
      echo '{"step":1,"loss":9.5,"tokens_per_second":10}'
      echo '{"step":2,"loss":9.25,"tokens_per_second":10}'
      echo '{"step":2,"validation_loss":9.125}'
    } >"$run/metrics.jsonl"
    echo curve >"$run/report.html"
    [[ "$*" == *ranks.txtpb* ]] || exit 75
    ;;
esac
FAKE
fake python <<'FAKE'
case $1 in
  -) echo '{"flops":1e15}' ;;
  *) echo '{"seconds_per_step":0.75}' ;;
esac
FAKE
cd "$folder"
export SYNTHESIZER_PYTHON=root/bin/python SYNTHESIZER_PEER=peer.py CUDA_HOME=$folder/nowhere PATH=$root/bin:$PATH
unset SYNTHESIZER_BIN SYNTHESIZER_NCCL SYNTHESIZER_CORPUS

wrong() { echo "wrong: $*" >&2; cat "$folder/output" "$results/results.md" >&2; exit 1; }
results=$folder/results report=$folder/results/results.md
# all CODE ARGUMENT…: runs it, and expects that exit code.
all() {
  local expected=$1 code=0
  root/tests/gpu/all --results results "${@:2}" >"$folder/output" 2>&1 || code=$?
  [ "$code" -eq "$expected" ] || wrong "exit code $code of all ${*:2}, expected $expected"
}
sections() { sed -n 's/^## \(.*\): .*/\1/p' "$report"; }

all 1  # one step fails, the others are done
diff <(sections) <("$root/tests/gpu/all" --list) || wrong "not a section for each step, in order"
[ "$("$root/tests/gpu/all" --list | head -n 4 | xargs)" = "ops kernels golden memcheck-1" ] || wrong "another order"
head -n 1 "$report" | grep -qx '# Some GPU, 1, 2 MiB' || wrong "no device"
[ "$(grep -c ': failed' "$report")" -eq 1 ] || wrong "not one failed step"
for line in '## golden-ranks: failed (exit code 1)' '- failed: Golden.Float64TwoRanks' 'what went wrong' '## golden: passed' \
  '| 2x2 | 2 | 9.25 | 0.0e+00 |' '| 2 | 9.25 | 10 |' '| 2 | 9.125 |' 'bf16 products reach 1000 TFLOP/s' \
  '| R+V | 0.4000 | 1.25 | 1.90 | 100000000 |' \
  '0.5000 s a step, 160256 tokens/s, 200 TFLOP/s, 20.0% of the measured peak, 2.0 GB; peer 0.7500 s, peer / ours 1.50'; do
  grep -qF -- "$line" "$report" || wrong "no line '$line'"
done
grep -q 'gpu_tests --gtest_filter=Golden\*-\*Ranks\*' "$CALLS" || wrong "golden cases were not run"
grep -q "python $folder/peer.py --device cuda --kinds R+V" "$CALLS" || wrong "the peer is not run as it is called"
[ -s "$results/race-R+V.txt" ] || wrong "no output of a step"

# What is there is not run again; what is missing is.
before=$(grep -vc nvidia-smi "$CALLS")
all 1
[ "$(grep -vc nvidia-smi "$CALLS")" -eq "$before" ] || wrong "a step was run again"
sed -i 's/^## race-R: .*/(lost)/' "$report"
all 1
[ "$(sections | tail -n 1)" = race-R ] || wrong "a step that was missing was not run"
[ "$(sections | wc -l)" -eq $(("$("$root/tests/gpu/all" --list | wc -l)")) ] || wrong "more than the missing step was run"

# A step that is named is run again, and its new result counts.
sed -i 's/exit 1/exit 0/' "$root/bin/gpu_tests"
all 0 --only golden-ranks
[ "$(grep -c '^## golden-ranks: ' "$report")" -eq 2 ] || wrong "a named step was not run"
all 2 --only nothing
grep -q "no step 'nothing'" "$folder/output" || wrong "no message of an unknown step"
FAKE_DEVICE=Other all 2
grep -q "another device" "$folder/output" || wrong "no message of another device"

# Without a peer there is no race, but our own figures.
unset SYNTHESIZER_PEER
all 1 --only race-V
tail -n 12 "$report" | grep -q 'SYNTHESIZER_PEER names no script' || wrong "a race without a peer"
