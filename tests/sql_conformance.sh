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
# The scripts of sql/conformance/twin have no expected output: each runs once with txkv tables and once with native
# ones, and both must print the same. Where they must differ, NAME.diff says in which lines (< native, > txkv). In
# these scripts a line
#     TABLE t(id INTEGER PRIMARY KEY, a INT, UNIQUE(a), INDEX(a, id));     (or: WITHOUT ROWID;)
# makes a table of either kind in temp, `CHECKPOINT;` moves the store's rows into LMDB, and `REOPEN t;` drops t and
# finds it again in the store. Both are nothing to the native tables.
#
# The expectations are those of SQLite 3.40. Of a newer SQLite, NAME.newer.diff holds what it prints otherwise, on
# native tables too or in the words of its plans; 3.52 and 3.53 were tried. Its shell says "Error near line 1: text"
# for "Runtime error near line 1: text (5)", which is compared without the words that only one of both has, and does
# not trust a schema unless it is told to.
#
# Usage: tests/sql_conformance.sh [NAME ...]      TXKV_SO=path of the extension, SQLITE=the shell
#        NAME: savepoints, twin/joins, or the path of a twin script elsewhere, with its .sql
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
so=$(realpath "${TXKV_SO:-$root/txkv.so}")
shell=${SQLITE:-sqlite3}
passed=0
failed=0

[ -f "$so" ] || { echo "$0: $so is missing: run make first" >&2; exit 2; }
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

case $(echo 'SELECT abs(-9223372036854775808);' | "$shell" -batch -init /dev/null :memory: 2>&1) in
Error*) words='s/^\([<> ]*\)Runtime error near/\1Error near/; /^[<> ]*Error near/s/ ([0-9]*)$//' ;;
*) words='' ;;
esac

# run SCRIPT OUTPUT SED-PROGRAM: the script, edited, in an empty directory
run() {
    rm -rf "$work/run"
    mkdir "$work/run"
    cp "$so" "$work/run/txkv.so"
    sed -e "s|@DIR@|$work/run|g" -e "$3" "$1" >"$work/script"
    (cd "$work/run" && "$shell" -batch -init /dev/null -cmd 'PRAGMA trusted_schema = ON' :memory: <"$work/script") 2>&1 |
        sed -e "s|$work/run|@DIR@|g" -e 's/LSN [0-9][0-9]*/LSN @/g' -e 's/offset [0-9]* (LSN/offset @ (LSN/' -e "$words" >"$2"
}

# check NAME HOW SED-PROGRAM: run and compare
check() {
    [ -f "$root/sql/conformance/$1.sql" ] || { echo "$0: no script $1" >&2; exit 2; }
    run "$root/sql/conformance/$1.sql" "$work/output" "$3"
    newer=$root/sql/conformance/$1.newer.diff
    sed -e "$words" "$root/sql/conformance/$1.expected" >"$work/expected"
    diff -a "$work/expected" "$work/output" >"$work/differences"
    if diff -uN "$work/expected" "$work/output" >"$work/diff" 2>&1; then
        echo "ok      $1$2"
        passed=$((passed + 1))
    elif [ -f "$newer" ] && cmp -s "$newer" "$work/differences"; then
        echo "ok      $1$2, as a newer SQLite prints it"
        passed=$((passed + 1))
    else
        echo "FAILED  $1$2"
        cat "$work/diff"
        failed=$((failed + 1))
    fi
}

# What the lines TABLE, CHECKPOINT and REOPEN of a twin script become.
# shellcheck disable=SC2016 # awk's variables
as_twin='
function create(name, body) { return "CREATE VIRTUAL TABLE temp." name " USING txkv(\047@DIR@/store\047, table=\047" name "." made[name] "\047" body ");" }
/^CHECKPOINT;$/ { print side == "txkv" ? "SELECT txkv_checkpoint(\047@DIR@/store\047) IS NULL;" : "SELECT 0;"; next }
/^REOPEN .*;$/ { name = substr($2, 1, length($2) - 1); print side == "txkv" ? "DROP TABLE " name "; " create(name, "") : ""; next }
/^TABLE .*\(.*\)( WITHOUT ROWID)?;$/ {
    name = $0; sub(/^TABLE /, "", name); sub(/\(.*/, "", name)
    body = $0; sub(/^[^(]*\(/, "", body)
    end = body ~ /\) WITHOUT ROWID;$/ ? ") WITHOUT ROWID;" : ");"
    sub(/\)( WITHOUT ROWID)?;$/, "", body)
    if (side == "txkv") {
        made[name]++
        print create(name, ", " body)
        next
    }
    indexes = ""
    for (n = 1; match(body, /, INDEX\([^)]*\)/); n++) {
        indexes = indexes " CREATE INDEX temp." name "_" n " ON " name substr(body, RSTART + 7, RLENGTH - 7) ";"
        body = substr(body, 1, RSTART - 1) substr(body, RSTART + RLENGTH)
    }
    print "CREATE TABLE temp." name "(" body end indexes
    next
}
{ print }'

# twin SCRIPT NAME: both ways, and compare
twin() {
    [ -f "$1" ] || { echo "$0: no script $1" >&2; exit 2; }
    for side in native txkv; do
        { echo '.load ./txkv'; cat "$1"; } | awk -v side="$side" "$as_twin" >"$work/$side.sql"
        run "$work/$side.sql" "$work/$side" ""
    done
    diff -a "$work/native" "$work/txkv" >"$work/differences"
    if [ -f "${1%.sql}.diff" ]; then sed -e "$words" "${1%.sql}.diff" >"$work/expected"; else : >"$work/expected"; fi
    if [ ! -s "$work/native" ]; then
        echo "FAILED  $2: it prints nothing"
        failed=$((failed + 1))
    elif diff -a "$work/expected" "$work/differences" >"$work/diff"; then
        echo "ok      $2"
        passed=$((passed + 1))
    else
        echo "FAILED  $2: < native, > txkv"
        [ -s "$work/expected" ] && echo "(not as ${1%.sql}.diff says)"
        cat "$work/differences"
        failed=$((failed + 1))
    fi
}

native='s/^CREATE VIRTUAL TABLE .* -- native: \(.*\)$/\1/
s/^CREATE VIRTUAL TABLE \([a-z0-9_.]*\) USING txkv(.*$/CREATE TABLE \1(key PRIMARY KEY, value) WITHOUT ROWID;/'

if [ $# -eq 0 ]; then
    for script in "$root"/sql/conformance/*.sql; do
        set -- "$@" "$(basename "$script" .sql)"
    done
    for script in "$root"/sql/conformance/twin/*.sql; do
        set -- "$@" "twin/$(basename "$script" .sql)"
    done
fi
for name in "$@"; do
    case $name in
    *.sql) twin "$name" "$name" ;;
    twin/*) twin "$root/sql/conformance/$name.sql" "$name" ;;
    *)
        check "$name" "" ""
        case $(head -n 1 "$root/sql/conformance/$name.sql") in
        "-- as native"*) check "$name" " (native)" "$native" ;;
        esac
        ;;
    esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
