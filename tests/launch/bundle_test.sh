#!/usr/bin/env bash
# bundle_test.sh LIBRARIES.SH PROGRAM: the list of libraries that a bundle takes along has all that the program loads, MPI's
# plugins and what they need among it; one that is missing is an error.
set -euo pipefail
. "$1"
program=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
wrong() { echo "wrong: $*" >&2; exit 1; }

# As launch/bundle/environment.sh has it: no other machine, for which there would have to be an ssh, and no plugins of hwloc.
loaded_by OMPI_MCA_plm=isolated HWLOC_PLUGINS_PATH=/nowhere "$program" bench step --attention V --batch 2 --source 8 \
  --target 8 --layers 1 --d-model 8 --d-ff 8 --heads 1 --d-head 8 --vocab 32 --threads 1 --steps 1 >"$folder/loaded"
mapfile -t plugins < <(grep 'mca_' "$folder/loaded")
[ ${#plugins[@]} -gt 0 ] || wrong "MPI loaded no plugins"
{
  libraries_of "$program" "${plugins[@]}"
  printf '%s\n' "$program" "${plugins[@]}"
} | xargs realpath | sort -u >"$folder/listed"
xargs realpath <"$folder/loaded" | sort -u | comm -23 - "$folder/listed" >"$folder/missing"
[ ! -s "$folder/missing" ] || wrong "these are loaded and not in the list: $(xargs <"$folder/missing")"
! grep -E '/(libc|libm|ld-linux-x86-64)\.so' "$folder/listed" || wrong "glibc is in the list"

# What is left out is not followed.
left_out=libcurl.so.4
[ -z "$(libraries_of "$program" | grep -E 'libcurl|libgnutls')" ] || wrong "libcurl was followed"

cd "$folder"
echo 'void there(void) {}' | gcc -shared -x c - -o libthere.so
echo 'void there(void); int main(void) { there(); }' | gcc -x c - -o needs -L. -lthere
! libraries_of ./needs >/dev/null 2>message || wrong "a library that is not there was not missed"
grep -q 'needs libthere.so, which is not there' message || wrong "another message: $(cat message)"
