#!/bin/sh
# fuzz.sh - run every fuzz target of a build for some seconds; what breaks one is kept in build/fuzz.
#
# usage: fuzz.sh BUILD_DIR SECONDS
#
# Ends with "N passed, N failed", a target each. Inputs found worth keeping stay in
# build/fuzz/NAME.corpus, and the next run starts from them.
set -u

build=$1
seconds=$2
passed=0
failed=0
mkdir -p build/fuzz

for target in "$build"/tests/fuzz/fuzz_*; do
    case $target in *.o | *.d | *'*') continue ;; esac
    name=$(basename "$target")
    corpus=build/fuzz/$name.corpus
    mkdir -p "$corpus"
    if "$target" -max_total_time="$seconds" -artifact_prefix="build/fuzz/$name." -print_final_stats=1 \
        "$corpus" >"build/fuzz/$name.log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        runs=$(awk '/number_of_executed_units/{print $2}' "build/fuzz/$name.log")
        echo "ok   $name: $runs inputs"
    else
        failed=$((failed + 1))
        echo "FAIL $name; the end of build/fuzz/$name.log:"
        tail -n 30 "build/fuzz/$name.log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
