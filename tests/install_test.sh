#!/bin/sh
# install_test.sh - install into an empty directory, use what is there as a reader of the README would,
# and uninstall: nothing may be left.
#
# usage: OUT=build/gcc-release install_test.sh    (from the repository's root)
set -u

work=$(pwd)/build/install
passed=0
failed=0

check() { # NAME COMMAND...
    name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $name"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        cat "$work/log"
    fi
}

installed_make() {
    make --no-print-directory "$1" PREFIX="$work/usr"
}

# By its bare name, as from a directory that the dynamic linker knows.
load_by_name() {
    answer=$(cd "$work" && LD_LIBRARY_PATH=$work/usr/lib sqlite3 :memory: ".load txkv" "SELECT txkv_version();")
    [ "$answer" = "$(sed -n 's/^Version: //p' "$work/usr/lib/pkgconfig/txkv.pc")" ]
}

# With the flags of txkv.pc, whose variables the shell can read; pkg-config itself need not be there.
compile() {
    (
        eval "$(sed -n 's/^\([a-z]*\)=\(.*\)/\1="\2"/p' "$work/usr/lib/pkgconfig/txkv.pc")"
        flags=$(sed -n 's/^\(Cflags\|Libs\): //p' "$work/usr/lib/pkgconfig/txkv.pc" | tr '\n' ' ')
        echo '#include <txkv.h>
              int main(void) { struct txkv *s; return txkv_open("store", 0, &s, 0) || txkv_close(s, 0); }' \
            >"$work/program.c"
        # shellcheck disable=SC2154 # includedir and libdir come out of txkv.pc
        : "$includedir" "$libdir"
        eval "${CC:-gcc} -o '$work/program' '$work/program.c' $flags"
    ) && (cd "$work" && ./program)
}

# The extension inside the program, for those that may not load code.
compile_static() {
    echo '#include <sqlite3.h>
          int sqlite3_txkv_init(sqlite3 *, char **, const void *);
          int main(void)
          {
              sqlite3 *db;
              sqlite3_auto_extension((void (*)(void))sqlite3_txkv_init);
              return sqlite3_open(":memory:", &db) || sqlite3_exec(db, "SELECT txkv_version()", 0, 0, 0);
          }' >"$work/static.c"
    "${CC:-gcc}" -o "$work/static" "$work/static.c" -L"$work/usr/lib" -ltxkv-sqlite -ltxkv -lck -llmdb -lxxhash \
        -lsqlite3 -pthread && "$work/static"
}

nothing_left() {
    [ -z "$(find "$work/usr" ! -type d)" ]
}

rm -rf "$work"
mkdir -p "$work"
check "make install" installed_make install
check "the shell loads it by its name" load_by_name
check "a C program compiles with txkv.pc, and runs" compile
check "the extension links into a program" compile_static
check "make uninstall" installed_make uninstall
check "nothing is left" nothing_left
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
