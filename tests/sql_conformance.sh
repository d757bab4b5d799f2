#!/bin/sh
# sql_conformance.sh - runs sql/conformance/*.sql through the sqlite3 shell and compares what it prints.
#
# Each script runs in an empty directory of its own, where `.load ./txkv` finds the extension and @DIR@ stands for
# that directory. NAME.expected holds what the shell must print, both streams, with the directory written as @DIR@.
#
# A script whose first line is "-- as native" runs a second time with each txkv table replaced by a native WITHOUT
# ROWID table, or by what stands behind "-- native: " in its line; that must print the same, so its expected output is
# SQLite's own.
#
# Usage: tests/sql_conformance.sh [NAME ...]      TXKV_SO=path of the extension, SQLITE=the shell
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
so=$(realpath "${TXKV_SO:-$root/txkv.so}")
shell=${SQLITE:-sqlite3}
passed=0
failed=0

[ -f "$so" ] || { echo "$0: $so is missing: run make first" >&2; exit 2; }
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# run SCRIPT OUTPUT SED-PROGRAM: the script, edited, in an empty directory
run() {
    rm -rf "$work/run"
    mkdir "$work/run"
    cp "$so" "$work/run/txkv.so"
    sed -e "s|@DIR@|$work/run|g" -e "$3" "$1" >"$work/script"
    (cd "$work/run" && "$shell" -batch -init /dev/null :memory: <"$work/script") 2>&1 |
        sed -e "s|$work/run|@DIR@|g" >"$2"
}

# check NAME HOW SED-PROGRAM: run and compare
check() {
    [ -f "$root/sql/conformance/$1.sql" ] || { echo "$0: no script $1" >&2; exit 2; }
    run "$root/sql/conformance/$1.sql" "$work/output" "$3"
    if diff -uN "$root/sql/conformance/$1.expected" "$work/output" >"$work/diff" 2>&1; then
        echo "ok      $1$2"
        passed=$((passed + 1))
    else
        echo "FAILED  $1$2"
        cat "$work/diff"
        failed=$((failed + 1))
    fi
}

native='s/^CREATE VIRTUAL TABLE .* -- native: \(.*\)$/\1/
s/^CREATE VIRTUAL TABLE \([a-z0-9_.]*\) USING txkv(.*$/CREATE TABLE \1(key PRIMARY KEY, value) WITHOUT ROWID;/'

if [ $# -eq 0 ]; then
    for script in "$root"/sql/conformance/*.sql; do
        set -- "$@" "$(basename "$script" .sql)"
    done
fi
for name in "$@"; do
    check "$name" "" ""
    case $(head -n 1 "$root/sql/conformance/$name.sql") in
    "-- as native"*) check "$name" " (native)" "$native" ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
