#!/usr/bin/env bash
# install.sh LIST...: installs the Debian packages that the lists name (one a line, # comments) and that are not there yet.
# For root, or for a user with sudo. Touches nothing where all are there.
set -euo pipefail

missing=()
while read -r package; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done < <(sed -e 's/#.*//' "$@" | grep -oE '[^[:space:]]+')
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install: packages are missing (${missing[*]}), and this is neither root nor a user with sudo" >&2; exit 2; }
  as_root=(sudo)
fi
echo "installing ${#missing[@]} packages: ${missing[*]}" >&2
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet)
"${apt[@]}" update >&2
"${apt[@]}" install --yes --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >&2
