#!/usr/bin/env bash
# mpirun_test.sh MPIRUN.SH: TERM, INT and USR1 to launch/mpirun.sh reach every rank as USR1, and the ranks' exit code comes back.
set -euo pipefail
mpirun=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkfifo "$folder/out"

# A rank that says it is there, waits, and on USR1 ends as a run that has saved does.
cat >"$folder/rank" <<'RANK'
#!/usr/bin/env bash
sleep 1000 &
trap 'kill $!; echo saved; exit 75' USR1
echo ready
wait
RANK
chmod +x "$folder/rank"

set -m  # without job control bash starts what it puts in the background with INT ignored
for signal in TERM INT USR1; do
  "$mpirun" -n 2 "$folder/rank" >"$folder/out" 2>"$folder/errors" &
  pid=$!
  exec 3<"$folder/out"
  read -r first <&3; read -r second <&3
  [ "$first $second" = "ready ready" ] || { echo "$signal: got '$first' '$second', expected two ranks that are ready" >&2; exit 1; }
  kill -s "$signal" "$pid"
  code=0; wait "$pid" || code=$?
  saved=$(grep -c saved <&3)
  exec 3<&-
  [ "$code" -eq 75 ] || { echo "$signal: got exit code $code, expected 75" >&2; cat "$folder/errors" >&2; exit 1; }
  [ "$saved" -eq 2 ] || { echo "$signal: $saved ranks saved, expected 2" >&2; exit 1; }
done

for expected in 0 2; do
  code=0; "$mpirun" -n 2 bash -c "exit $expected" >/dev/null 2>&1 || code=$?
  [ "$code" -eq "$expected" ] || { echo "got exit code $code, expected $expected" >&2; exit 1; }
done
