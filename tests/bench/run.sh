#!/bin/sh
# run.sh - run the benchmark from the repo's root, with the versions that only the shell can tell.
#
# usage: OUT=build/gcc-release tests/bench/run.sh [option ...]   (--help lists them)
set -eu

version_of() { dpkg-query -W -f='${Version}' "$1" 2>/dev/null || echo unknown; }

BENCH_VERSIONS=", LMDB $(version_of liblmdb0), Concurrency Kit $(version_of libck0)"
BENCH_VERSIONS="$BENCH_VERSIONS, RocksDB $(version_of librocksdb-dev), LevelDB $(version_of libleveldb-dev)"
BENCH_VERSIONS="$BENCH_VERSIONS, commit $(git describe --always --dirty 2>/dev/null || echo unknown)"
export BENCH_VERSIONS
mkdir -p "${BENCH_DIR:-build/bench}"
exec "${OUT:?the build directory}/tests/bench/bench" "$@"
