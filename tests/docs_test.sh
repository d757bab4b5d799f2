#!/bin/sh
# docs_test.sh - run what the documents show, as it stands there.
#
# usage: OUT=build/gcc-release docs_test.sh    (from the repository's root)
#
# README.md: the lines of its ```sql block, typed into `sqlite3 :memory:`, must give the ```text block after
# it, twice in a row: a reader may try them again. docs/*.md: every ```sql block of a page is typed in the
# page's order into one shell, in an empty directory; where a ```text block comes next, it is the answer. A block
# without one must not fail. sql/examples/*.sql are typed into a shell each, in an empty directory, and
# docs/*.c are run in one: they must print what NAME.expected beside them says.
set -u

build=${OUT:?the build directory}
extension=${TXKV_SO:-txkv.so}
root=$(pwd)
work=$root/build/docs
passed=0
failed=0
rm -rf "$work"
mkdir -p "$work"

# The shell of a newer SQLite (3.52) says "Error: text" for "Runtime error: text (5)".
case $(echo 'SELECT abs(-9223372036854775808);' | sqlite3 -batch :memory: 2>&1) in
Error*) words='s/^Runtime error/Error/; /^Error/s/ ([0-9]*)$//' ;;
*) words='' ;;
esac

verdict() { # NAME EXPECTED_FILE ACTUAL_FILE
    sed -e "$words" "$2" >"$work/expected"
    sed -e "$words" "$3" >"$work/actual"
    if diff -u "$work/expected" "$work/actual" >"$work/diff"; then
        passed=$((passed + 1))
        echo "ok   $1"
    else
        failed=$((failed + 1))
        echo "FAIL $1"
        cat "$work/diff"
    fi
}

# Writes the blocks of a page to DIR/<number>.sql and, where it has an answer, <number>.text. A ```text block
# answers the ```sql block before it unless another block stands between.
split() { # PAGE DIR
    mkdir -p "$2"
    awk -v dir="$2" '
        /^```/ && !inside {
            inside = 1
            out = ""
            if ($0 == "```sql") {
                n++
                answered = 0
                out = sprintf("%s/%03d.sql", dir, n)
            } else if ($0 == "```text" && last == "```sql") {
                out = sprintf("%s/%03d.text", dir, n)
            }
            if (out != "")
                printf "" >out
            last = $0
            next
        }
        /^```/ { inside = 0; if (out != "") close(out); next }
        inside && out != "" { print >out }
    ' "$1"
}

# The README's block, with nothing added to it.
split README.md "$work/readme"
rm -rf build/first
for time in first second; do
    sqlite3 :memory: <"$work/readme/001.sql" >"$work/readme.out" 2>&1
    verdict "README.md, its ten lines, typed for the $time time" "$work/readme/001.text" "$work/readme.out"
done
rm -rf build/first

# A marker is printed before each block, and splits what the shell says.
page() { # PAGE
    name=$(basename "$1" .md)
    split "$1" "$work/$name"
    [ -e "$work/$name/001.sql" ] || return 0
    mkdir -p "$work/$name/cwd"
    cp "$extension" "$work/$name/cwd/"
    for sql in "$work/$name"/*.sql; do
        echo ".print @@ $(basename "$sql" .sql)"
        cat "$sql"
    done >"$work/$name/typed"
    (cd "$work/$name/cwd" && sqlite3 :memory: <../typed 2>&1) |
        awk -v dir="$work/$name" '
            /^@@ / { close(out); out = dir "/" $2 ".out"; printf "" >out; next }
            # An error names the line of the whole input; the page cannot know it.
            { sub(/ near line [0-9]+:/, ":"); print >out }
        '
    for sql in "$work/$name"/*.sql; do
        block=${sql%.sql}
        if [ -e "$block.text" ]; then
            verdict "$1, block $(basename "$block")" "$block.text" "$block.out"
        else
            grep -E '^(Runtime|Parse) error|^Error' "$block.out" >"$block.errors"
            verdict "$1, block $(basename "$block"), without an error" /dev/null "$block.errors"
        fi
    done
}

for file in docs/*.md; do
    [ -e "$file" ] && page "$file"
done

# In an empty directory with the extension; a program's exit code other than 0 is part of what it printed.
example() { # FILE COMMAND...
    file=$1
    shift
    rm -rf "$work/example"
    mkdir "$work/example"
    cp "$extension" "$work/example/"
    (cd "$work/example" && "$@" || echo "exit code $?") >"$work/example.out" 2>&1 <"$file"
    verdict "$file" "${file%.*}.expected" "$work/example.out"
}

for file in sql/examples/*.sql; do
    [ -e "$file" ] && example "$file" sqlite3 -bail :memory:
done
for file in docs/*.c; do
    [ -e "$file" ] && example "$file" "$root/$build/${file%.c}"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
