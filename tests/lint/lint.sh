#!/bin/sh
# lint.sh - everything that reads the code without running it. Goes on after a failure; exit code 1
# when anything was found.
#
# usage: lint.sh [STEP...]    steps: layers limits format tidy cppcheck analyzer shell; default all
#
# A tool that is not installed is a failure that names it: `make deps-dev` installs them.
# shellcheck disable=SC2317 # the steps are called by their names
set -u
cd "$(dirname "$0")/../.." || exit
mkdir -p build/lint

jobs=$(nproc)
flags="-std=c11 -D_GNU_SOURCE"
sources=$(find src ext tests docs -name '*.c' | sort)
all=$(find src ext tests docs -name '*.[ch]' | sort)
bad=0

need() {
    command -v "$1" >/dev/null && return 0
    echo "  $1 is not installed: run make deps-dev"
    return 1
}

layers() {
    # shellcheck disable=SC2046
    awk -f tests/lint/layers.awk src/LAYERS $(find src ext -name '*.[ch]')
}

limits() {
    # shellcheck disable=SC2086
    awk -f tests/lint/limits.awk $all
}

format() {
    # shellcheck disable=SC2086
    need clang-format && clang-format --dry-run -Werror $all
}

# A tool on each of the store's files, which call tx_fail, and on the others. {} is the file. The extension
# is checked as it is built for loading, where SQLite is called through its table of pointers.
on_store() { echo "$sources" | grep '^src/' | grep -v '/error.c$' | xargs -P "$jobs" -I{} "$@"; }
on_others() { echo "$sources" | grep -v '^src/' | xargs -P "$jobs" -I{} "$@"; }

# Its standard error counts the warnings that it does not show.
tidy() {
    need clang-tidy || return 1
    # shellcheck disable=SC2086 # flags are words
    on_store clang-tidy --quiet {} -- $flags -include tests/lint/analyzer.h 2>/dev/null
    store_rc=$?
    # shellcheck disable=SC2086
    on_others clang-tidy --quiet {} -- $flags 2>/dev/null && return "$store_rc"
}

# CK's and SQLite's macros that make a declaration are unknown to cppcheck, which sees no system headers.
check_cpp() {
    need cppcheck || return 1
    # shellcheck disable=SC2086
    cppcheck -q -j "$jobs" --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
        --suppressions-list=tests/lint/cppcheck.supp \
        -D__x86_64__ -D_GNU_SOURCE '-DCK_STACK_CONTAINER(T,M,N)=' '-DCK_EPOCH_CONTAINER(T,M,N)=' \
        -DSQLITE_EXTENSION_INIT1= '-DSQLITE_EXTENSION_INIT2(v)=' src ext tests
}

# It takes memory whose address passes through CK's inline assembly for leaked; LeakSanitizer knows better.
analyzer() {
    need gcc || return 1
    # shellcheck disable=SC2086
    on_store gcc $flags -include tests/lint/analyzer.h -O1 -fanalyzer -Wno-analyzer-malloc-leak -Werror \
        -c -o /dev/null {}
}

shell() {
    # shellcheck disable=SC2046
    need shellcheck && shellcheck .ci/run $(find tests -name '*.sh')
}

[ $# -gt 0 ] || set -- layers limits format tidy cppcheck analyzer shell
for step in "$@"; do
    case $step in cppcheck) run=check_cpp ;; *) run=$step ;; esac
    begin=$(date +%s)
    if "$run" >"build/lint/$step.log" 2>&1; then
        verdict=ok
    else
        verdict=FAIL
        bad=1
    fi
    printf '%-4s lint/%-10s %3d s\n' "$verdict" "$step" $(($(date +%s) - begin))
    [ "$verdict" = ok ] || head -n 200 "build/lint/$step.log"
done
exit "$bad"
