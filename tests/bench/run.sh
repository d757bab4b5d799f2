#!/bin/sh
# run.sh - run the benchmark from the repo's root, with the versions that only the shell can tell.
#
# usage: OUT=build/gcc-release tests/bench/run.sh [option ...]   (--help lists them)
#
# What it prints is kept in BENCH_DIR/report.txt, and a line in results.jsonl says where its runs begin:
# report.sh makes a document of both.
set -eu

version_of() { dpkg-query -W -f='${Version}' "$1" 2>/dev/null || echo unknown; }

BENCH_VERSIONS=", LMDB $(version_of liblmdb0), Concurrency Kit $(version_of libck0)"
BENCH_VERSIONS="$BENCH_VERSIONS, RocksDB $(version_of librocksdb-dev), LevelDB $(version_of libleveldb-dev)"
BENCH_VERSIONS="$BENCH_VERSIONS, commit $(git describe --always --dirty 2>/dev/null || echo unknown)"
export BENCH_VERSIONS
dir=${BENCH_DIR:-build/bench}
mkdir -p "$dir"
case " $* " in
*" --help "*) exec "${OUT:?the build directory}/tests/bench/bench" "$@" ;;
esac
printf '{"begin":"%s","command":"make bench%s"}\n' "$(date -u +'%Y-%m-%d %H:%M UTC')" "${*:+ B='$*'}" >>"$dir/results.jsonl"
{
    rc=0
    "${OUT:?the build directory}/tests/bench/bench" "$@" || rc=$?
    echo "$rc" >"$dir/status"
} | tee "$dir/report.txt"
exit "$(cat "$dir/status")"
