# Sourced by launch/gpu-bundle and its test: which libraries programs need.

# glibc's own, which every machine has and no other machine's can stand in for.
is_glibc() {
  case ${1##*/} in
    ld-linux*.so.* | libc.so.6 | libm.so.6 | libmvec.so.1 | linux-vdso.so.1) return 0 ;;
    libpthread.so.0 | libdl.so.2 | librt.so.1 | libresolv.so.2 | libutil.so.1 | libanl.so.1) return 0 ;;
  esac
  return 1
}

# libraries_of FILE…: a line for each library that the programs and libraries FILE need, by others too, and that is not
# glibc's: the path at which the loader finds it. Those named in $left_out (words) are not followed. Fails if one is missing.
libraries_of() {
  local -A at=() seen=()
  local file name arrow path waiting=("$@")
  for file in "$@"; do
    while read -r name arrow path _; do
      [ "$arrow" = "=>" ] || continue
      [ "$path" != not ] || { echo "$file needs $name, which is not there" >&2; return 1; }
      at[$name]=$path
    done < <(ldd "$file")
  done
  while [ ${#waiting[@]} -gt 0 ]; do
    file=${waiting[0]}
    waiting=("${waiting[@]:1}")
    while read -r name; do
      if is_glibc "$name" || [ -n "${seen[$name]:-}" ] || [[ " ${left_out:-} " == *" $name "* ]]; then continue; fi
      seen[$name]=yes
      [ -n "${at[$name]:-}" ] || { echo "$file needs $name, which ldd does not name" >&2; return 1; }
      echo "${at[$name]}"
      waiting+=("${at[$name]}")
    done < <(readelf --dynamic "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p')
  done
}

# loaded_by [NAME=VALUE…] COMMAND…: a line for each library that the command, in no other environment, and what it starts load, glibc's left
# out, as paths. Fails, with the command's output, if it fails.
loaded_by() {
  local notes name
  notes=$(mktemp -d)
  if ! env -i PATH=/nowhere OMP_NUM_THREADS=1 LD_DEBUG=files LD_DEBUG_OUTPUT="$notes/loaded" "$@" >"$notes/output" 2>&1; then
    cat "$notes/output" >&2
    rm -r "$notes"
    return 1
  fi
  sed -n 's/.*calling init: //p' "$notes"/loaded.* | sort -u | while read -r name; do
    is_glibc "$name" || echo "$name"
  done
  rm -r "$notes"
}
