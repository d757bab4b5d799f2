#!/bin/sh
# crash.sh - the programs that are killed with SIGKILL, at length, and how it went in one line.
#
# usage: crash.sh OUT ROUNDS    from the repository's root; OUT is the build directory
#
# Ends with "kills N, lost L, wrong W": of the programs that failed, lost are those that missed what had been
# acknowledged, wrong the others. The output of each is in OUT/logs/crash.
set -u

out=$1
rounds=$2
logs=$out/logs/crash
rm -rf "$logs"
mkdir -p "$logs"
export TXKV_SO="$out/txkv.so"

run() {
    log=$logs/$1.log
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        tail -n 3 "$log" | head -n 1
    else
        echo "FAILED: $*; the end of $log:"
        tail -n 20 "$log"
        echo "program failed" >>"$log"
    fi
}

run bank "$out/tests/crash/bank" $((2 * rounds))
run kill9 "$out/tests/crash/kill9" "$rounds"
run atomic "$out/tests/crash/atomic" "$rounds"
run tables "$out/tests/crash/tables" "$rounds"

awk '
    FNR == 1 { is_lost = 0 }
    /^kills [0-9]+$/ { kills += $2 }
    /^FAILED:/ && /acknowledged|recovered before|is missing|not there any more|has lost/ { is_lost = 1 }
    /^program failed$/ { if (is_lost) lost++; else wrong++ }
    END {
        printf "kills %d, lost %d, wrong %d\n", kills, lost, wrong
        exit lost + wrong > 0 || kills == 0
    }' "$logs"/*.log
