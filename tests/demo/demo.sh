#!/bin/sh
# demo.sh - real data through the whole path: SQL, log, overlay, checkpoint, LMDB, SQL; killed and
# recovered on the way.
#
# usage: demo.sh BUILD_DIR   (from the repository's root; `make demo` does)
#
# Each step says in one line what it does, and in the next what it saw. Exit code 0: all of it held.
set -eu

build=$1
work=build/demo
store=$work/store
unicode=/usr/share/unicode/UnicodeData.txt
write_seconds=${DEMO_SECONDS:-5}
began=$(date +%s)

step() { printf '\n** %s\n' "$*"; }
saw() { printf '   %s\n' "$*"; }
fail() {
    printf '!! %s\n' "$*" >&2
    exit 1
}

# Runs SQL on a fresh connection with the store's two tables open; -bail makes any error an exit code.
# The options: see `sqlite3 -help`.
sql() {
    options=$1
    statements=$2
    # shellcheck disable=SC2086 # options are words
    sqlite3 -bail $options :memory: <<SQL
.load ./txkv
CREATE VIRTUAL TABLE temp.chars USING txkv('$store', table=chars);
CREATE VIRTUAL TABLE temp.work USING txkv('$store', table=work);
$statements
SQL
}

expect() {
    [ "$2" = "$3" ] || fail "$1: expected $3, saw $2"
}

[ -r "$unicode" ] || fail "$unicode is missing: run make deps"
rm -rf "$work"
mkdir -p "$work"
trap 'kill -9 "${writers:-}" 2>/dev/null || true' EXIT

step "Importing Debian's $unicode through the sqlite3 shell, in one transaction"
lines=$(wc -l <"$unicode")
sql "" "
CREATE TABLE unicode_data(code, name, category, class, bidi, decomposition, decimal, digit, numeric,
                          mirrored, old_name, comment, upper, lower, title);
.separator ;
.import $unicode unicode_data
.separator |
INSERT INTO chars
  SELECT code, json_object('name', name, 'category', category, 'upper', upper, 'lower', lower,
                           'numeric', numeric)
  FROM unicode_data;"
rows=$(sql "" "SELECT count(*) FROM chars;")
saw "$lines records in the file, $rows rows in the store, read back by a second process"
expect "rows in the store" "$rows" "$lines"

step "One key: SELECT value FROM chars WHERE key = '20AC'"
euro=$(sql "" "SELECT value ->> '\$.name' FROM chars WHERE key = '20AC';")
saw "$euro"
expect "the name of 20AC" "$euro" "EURO SIGN"

step "Names by prefix: five of those that begin with 'ROMAN NUMERAL', last key first"
sql "-column" "SELECT key, value ->> '\$.name' AS name FROM chars
  WHERE value ->> '\$.name' GLOB 'ROMAN NUMERAL*' ORDER BY key DESC LIMIT 5;" | sed 's/^/   /'

step "Counts by general category: the five largest of them"
sql "-column" "SELECT value ->> '\$.category' AS category, count(*) AS characters FROM chars
  GROUP BY 1 ORDER BY 2 DESC LIMIT 5;" | sed 's/^/   /'
total=$(sql "" "SELECT sum(n) FROM (SELECT count(*) AS n FROM chars GROUP BY value ->> '\$.category');")
expect "characters in all categories" "$total" "$lines"

step "A join with a native table: upper case of five letters, looked up by key twice"
sql "-column" "
CREATE TABLE letters(code TEXT, note TEXT);
INSERT INTO letters VALUES('0061', 'Latin'), ('00E9', 'French'), ('03B1', 'Greek'), ('0436', 'Cyrillic'),
                          ('0561', 'Armenian');
SELECT note, small.value ->> '\$.name' AS lower_case, big.value ->> '\$.name' AS upper_case
  FROM letters JOIN chars AS small ON small.key = code
               JOIN chars AS big ON big.key = small.value ->> '\$.upper';" | sed 's/^/   /'

step "Four threads write, one row pair a transaction, while a fifth reads; SIGKILL after $write_seconds s"
"$build"/tests/demo/writers "$store" "$work/acknowledged" &
writers=$!
sleep "$write_seconds"
sleep 0.37 # in the middle of a second, not where the reader reports
kill -0 "$writers" 2>/dev/null || fail "the writers ended by themselves"
kill -9 "$writers"
code=0
wait "$writers" 2>/dev/null || code=$?
writers=
expect "the writers' exit code (128 + SIGKILL)" "$code" 137
# A line that the kill cut off is no promise: only whole lines count.
acknowledged=$(wc -l <"$work/acknowledged")
head -n "$acknowledged" "$work/acknowledged" >"$work/promised"
saw "killed; COMMIT had returned for $acknowledged transactions; $(du -sh "$store/wal" | cut -f1) of log are left"
[ "$acknowledged" -gt 0 ] || fail "no transaction was acknowledged"

step "A new shell opens the store: recovery reads the log from the last checkpoint on"
# One connection for this step and the next two: the last one that closes would do the checkpoint itself.
sql "" "
SELECT txkv_recover('work');
CREATE TABLE promised(name TEXT PRIMARY KEY);
.import $work/promised promised
SELECT (SELECT count(*) FROM promised),
  (SELECT count(*) FROM promised WHERE NOT EXISTS (SELECT 1 FROM work WHERE key = 'order:' || name)),
  (SELECT count(*) FROM promised WHERE NOT EXISTS (SELECT 1 FROM work WHERE key = 'invoice:' || name)),
  (SELECT count(*) FROM work WHERE key GLOB 'order:*') -
      (SELECT count(*) FROM work WHERE key GLOB 'invoice:*');
SELECT count(*) FROM work;
SELECT txkv_checkpoint('work');" >"$work/recovered"
{ read -r report; read -r answer; read -r work_rows; read -r checkpoint; } <"$work/recovered"
saw "$report"

step "Looking for every acknowledged transaction, and for half ones"
expect "transactions looked for, orders missing, invoices missing, orders without invoice" \
    "$answer" "$acknowledged|0|0|0"
saw "$acknowledged looked for, 0 missing, 0 half there; $((work_rows / 2)) are in the store"

step "SELECT txkv_checkpoint(): the rest of the log moves into LMDB"
saw "$checkpoint"

step "mdb_stat, LMDB's own tool, on $store"
mdb_stat -a "$store" >"$work/mdb_stat" || fail "mdb_stat could not read the store"
awk '/^Status of /{name = $3} /Entries:/{print "   " name ": " $2 " entries"}' "$work/mdb_stat"
for want in "$rows" "$work_rows"; do
    grep -q "Entries: $want\$" "$work/mdb_stat" || fail "no LMDB table has $want entries"
done
saw "the $rows characters and the $work_rows rows of the writers are all there"

step "Done in $(($(date +%s) - began)) s: every acknowledged row survived. The store is in $store"
