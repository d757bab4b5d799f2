#!/bin/sh
# deps.sh - install those of the named Debian packages that are missing, and only those.
#
# usage: deps.sh PACKAGE...
#
# Runs apt-get as root, or through sudo. Where there is no apt-get it prints what is needed and fails.
set -eu

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps: this is no Debian system: install what these packages hold, by your system's names:" >&2
    echo "  $*" >&2
    exit 1
fi

missing=
for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
    [ "$status" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "deps: everything is installed"
    exit 0
fi

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "deps: missing:$missing" >&2
    echo "deps: neither root nor sudo; as root, run: apt-get install$missing" >&2
    exit 1
fi

echo "deps: installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Prints apt-get's output only when it fails: it is long, and nobody needs it otherwise.
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >"$log" 2>&1 </dev/null && return 0
    cat "$log" >&2
    return 1
}

# apt-cache knows no package before the first update; an old list may name versions that are gone.
# shellcheck disable=SC2086 # package names are words
if ! apt-cache show --no-all-versions $missing >/dev/null 2>&1; then
    apt update
fi
# shellcheck disable=SC2086
if ! apt install --no-install-recommends $missing; then
    echo "deps: trying again with fresh package lists"
    apt update
    # shellcheck disable=SC2086
    apt install --no-install-recommends $missing
fi
echo "deps: done"
