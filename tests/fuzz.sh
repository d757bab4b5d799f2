#!/bin/sh
# fuzz.sh - run fuzz targets of a build for some seconds each, several at a time.
#
# usage: fuzz.sh BUILD_DIR SECONDS [TARGET...]    TARGET: segment, sql, ...; default: all
#
# A target begins with the inputs in tests/fuzz/corpus/TARGET, which reach what the fuzzer has found its way
# to, in tests/fuzz/regressions/TARGET, each of which broke something once, and in build/fuzz/TARGET.corpus,
# where it puts what else it finds worth keeping. All of these are run whatever the seconds are. What breaks a
# target is kept as build/fuzz/TARGET.crash-*.
#
# Ends with "fuzz: N targets, M inputs, crashed C", and with "N passed, N failed", a target each.
set -u

# One target, for xargs below. What it prints is one line, or what went wrong.
run_one() {
    target=$1
    log=build/fuzz/$target.log
    mkdir -p "build/fuzz/$target.corpus"
    set -- "build/fuzz/$target.corpus"
    for seeds in "tests/fuzz/corpus/$target" "tests/fuzz/regressions/$target"; do
        [ -d "$seeds" ] && set -- "$@" "$seeds"
    done
    if "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=60 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/$target." "$@" >"$log" 2>&1 </dev/null; then
        awk -v target="$target" '/number_of_executed_units/{print "ok   " target ": " $2 " inputs"}' "$log"
    else
        echo "FAIL $target; the end of $log:"
        tail -n 30 "$log"
    fi
}

build=$1
seconds=$2
shift 2
if [ "${1-}" = --one ]; then
    run_one "$2"
    exit
fi

mkdir -p build/fuzz
if [ $# -eq 0 ]; then
    for file in tests/fuzz/fuzz_*.c; do
        target=${file#tests/fuzz/fuzz_}
        set -- "$@" "${target%.c}"
    done
fi

# Their files lie in memory, and go with this script, also those of a target that crashes.
base=/dev/shm
[ -w "$base" ] || base=${TMPDIR:-/tmp}
TXKV_FUZZ_DIR=$(mktemp -d "$base/txkv-fuzz-XXXXXX") || exit 1
trap 'rm -rf "$TXKV_FUZZ_DIR"' EXIT
trap 'exit 1' INT TERM
export TXKV_FUZZ_DIR
# A large quarantine of freed memory means fresh pages all the time: a third of what a target of files does.
export ASAN_OPTIONS="quarantine_size_mb=16:malloc_context_size=10${ASAN_OPTIONS:+:$ASAN_OPTIONS}"

printf '%s\n' "$@" | xargs -P "${FUZZ_JOBS:-$(nproc)}" -I{} "$0" "$build" "$seconds" --one {} |
    tee build/fuzz/results
awk -v targets=$# '
    /^ok / { passed++; inputs += $3 }
    END {
        printf "fuzz: %d targets, %d inputs, crashed %d\n", targets, inputs, targets - passed
        printf "%d passed, %d failed\n", passed, targets - passed
        exit passed != targets || targets == 0
    }' build/fuzz/results
