#!/bin/sh
# docs_examples.sh - runs the SQL examples of documents as they stand there.
#
# Usage: tests/docs_examples.sh MD-FILE ...      TXKV_SO=path of the extension, SQLITE=the shell
#
# The ```sql blocks of a page are typed, in its order, into one `sqlite3 :memory:` in an empty directory where
# `.load ./txkv` finds the extension. A ```text block that follows a ```sql block, with no other block between,
# is exactly what the shell must answer to it, errors included, but for the words "near line N", which a page
# cannot know. A block without an answer must not fail. One line a page; the last line counts the pages.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
so=$(realpath "${TXKV_SO:-$root/txkv.so}")
shell=${SQLITE:-sqlite3}
passed=0
failed=0

[ -f "$so" ] || { echo "$0: $so is missing: run make first" >&2; exit 2; }
[ $# -gt 0 ] || { echo "usage: $0 MD-FILE ..." >&2; exit 2; }
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# split PAGE: writes what is to be typed to $work/typed, what the page says of it to $work/expected. Before each
# block a line "@@ <line of the page>" stands in both; "@? ..." where the page gives no answer.
split() {
    awk -v typed="$work/typed" -v expected="$work/expected" '
        function tell(mark) { if (line) print mark, line >expected }
        BEGIN { printf "" >typed; printf "" >expected }
        /^```/ && !inside {
            inside = 1
            kind = $0
            if (kind == "```text" && line) { tell("@@"); line = 0; answer = 1; next }
            tell("@?")
            line = kind == "```sql" ? NR : 0
            if (line) print ".print @@ " line >typed
            next
        }
        /^```/ { inside = 0; kind = ""; answer = 0; next }
        kind == "```sql" { print >typed }
        answer { print >expected }
        END { tell("@?") }
    ' "$1"
}

# run: types $work/typed; leaves in $work/actual what was answered, as far as the page says something about it.
run() {
    rm -rf "$work/cwd"
    mkdir -p "$work/cwd/build" # the README's lines are typed where make has made it
    ln -s "$so" "$work/cwd/txkv.so"
    (cd "$work/cwd" && "$shell" -batch -init /dev/null :memory: <"$work/typed") >"$work/output" 2>&1
    awk '
        NR == FNR { if (/^@\? /) silent[$2] = 1; next }
        /^@@ / { quiet = $2 in silent; print (quiet ? "@?" : "@@"), $2; next }
        { sub(/ near line [0-9]+:/, ":") }
        !quiet || /^(Runtime error|Parse error|Error)/ { print }
    ' "$work/expected" "$work/output" >"$work/actual"
}

for page; do
    split "$page"
    run
    blocks=$(grep -c '^@[@?] ' "$work/expected")
    if diff -U 2 --label "$page" --label "the shell" "$work/expected" "$work/actual" >"$work/diff"; then
        echo "ok      $page, $blocks blocks"
        passed=$((passed + 1))
    else
        echo "FAILED  $page: @@ is the line of the page at which a block begins"
        cat "$work/diff"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
