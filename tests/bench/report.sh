#!/bin/sh
# report.sh - turn the last run of the benchmark into docs/benchmarks.md and its pictures.
#
# usage: tests/bench/report.sh [BENCH_DIR [DOCUMENT]]      (build/bench, docs/benchmarks.md)
#
# Reads results.jsonl, one line for each run of an engine, and report.txt, what the benchmark printed:
# both are of one run (run.sh). The same of `make bench-soak`, `make bench-large` and `make bench-again` stands in BENCH_DIR/soak,
# BENCH_DIR/large and BENCH_DIR/again; what these have of a work is in place of what the run had.
# Tables are made by report.awk, pictures by gnuplot into the directory beside the document that has its name.
set -eu

here=$(dirname "$0")
from=${1:-build/bench}
document=${2:-docs/benchmarks.md}
pictures=${document%.md}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

if [ ! -s "$from/results.jsonl" ] || [ ! -s "$from/report.txt" ]; then
    echo "report: no results in $from: run make bench first" >&2
    exit 1
fi
command -v gnuplot >/dev/null || {
    echo "report: gnuplot is missing: apt-get install gnuplot-nox" >&2
    exit 1
}
# A run's lines, that of its beginning first.
last_run() {
    awk '/^\{"begin":/ { n = 0 } { lines[++n] = $0 } END { for (i = 1; i <= n; i++) print lines[i] }' "$1"
}

# What the other targets left belongs to the same document.
soak=$from/soak
cat "$from/report.txt" >"$work/report.txt"
last_run "$from/results.jsonl" >"$work/results.jsonl"
for part in "$soak" "$from/large" "$from/again"; do
    [ -s "$part/report.txt" ] || continue
    sed -n '/^[a-z][a-z0-9-]*: /,$p' "$part/report.txt" >"$work/part.txt"
    last_run "$part/results.jsonl" | sed '1s/begin/part/' >"$work/part.jsonl"
    sed -n 's/^\([a-z][a-z0-9-]*\): .*/\1/p' "$work/part.txt" >"$work/names"
    awk 'FNR == NR { again[$0 ":"] = 1; next } /^[a-z][a-z0-9-]*: / { skip = $1 in again } !skip' \
        "$work/names" "$work/report.txt" >"$work/kept.txt"
    awk -F'"work":"' 'FNR == NR { again[$0] = 1; next } { work = $2; sub(/".*/, "", work) } !(work in again)' \
        "$work/names" "$work/results.jsonl" >"$work/kept.jsonl"
    cat "$work/kept.txt" "$work/part.txt" >"$work/report.txt"
    cat "$work/kept.jsonl" "$work/part.jsonl" >"$work/results.jsonl"
done
awk -v data="$work" -f "$here/report.awk" "$work/report.txt" "$work/results.jsonl" >"$work/tables.md"
mkdir -p "$pictures"
rm -f "$pictures"/*.svg

# plot NAME TITLE YLABEL COMMAND: a picture of $work/NAME.dat, unless that has nothing.
plot() {
    [ -s "$work/$1.dat" ] || return 0
    columns=$(awk 'NR == 1 { print NF }' "$work/$1.dat")
    gnuplot <<END
set terminal svg size 860,420 dynamic font 'sans-serif,13' background '#ffffff'
set output '$pictures/$1.svg'
set title '$2'
set ylabel '$3'
set key outside right top
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror
data = '$work/$1.dat'
last = $columns
set linetype 1 lc rgb '#c44e52'
set linetype 2 lc rgb '#4c72b0'
set linetype 3 lc rgb '#55a868'
set linetype 4 lc rgb '#8172b2'
set linetype 5 lc rgb '#ccb974'
set linetype 6 lc rgb '#64b5cd'
$4
END
}

lines="set logscale y; set xlabel 'threads'; set format y '%.0s%c'
plot for [i=2:last] data using i:xtic(1) with linespoints lw 2 pt 7 ps 0.7 title columnheader(i)"
bars="set style data histograms; set style fill solid 0.9 noborder; set style histogram cluster gap 1
set xtics rotate by -25; set yrange [0:*]
plot for [i=2:last] data using i:xtic(1) title columnheader(i)"
times="set style data histograms; set style fill solid 0.9 noborder; set style histogram cluster gap 1
set logscale y; set yrange [10:*]; set format y '%.0s%c'; set xtics rotate by -25
plot for [i=2:last] data using i:xtic(1) title columnheader(i)"
plot writes-full 'Autocommit upserts, synced' 'upserts a second' "$lines"
plot writes-normal 'Autocommit upserts, not synced one by one' 'upserts a second' "$lines"
plot reads 'Reads of one thread' 'times SQLite' "$bars"
plot columns 'Tables with declared columns' 'times SQLite' "$bars"
plot ycsb-full 'YCSB, 8 threads, synced' 'times SQLite' "$bars"
plot ycsb-normal 'YCSB, 8 threads, not synced one by one' 'times SQLite' "$bars"
plot latency 'Latency of an upsert, 50 threads, synced' 'microseconds' "$times"
plot sizes 'Upserts by size of the value, 8 threads, synced' 'upserts a second' "set logscale y; set format y '%.0s%c'
set xlabel 'bytes of a value'
plot for [i=2:last] data using i:xtic(1) with linespoints lw 2 pt 7 ps 0.7 title columnheader(i)"
plot growth 'Growth: rows in the store' 'operations a second' "set logscale y; set format y '%.0s%c'
set xlabel 'rows'; set yrange [1000:*]
plot for [i=2:last] data using i:xtic(1) with linespoints lw 2 pt 7 ps 0.7 title columnheader(i)"

# The work `timeline` leaves a line a second for each engine; both engines stand in four panels.
engines=
for engine in txkv sqlite; do
    [ ! -s "$soak/timeline-$engine.csv" ] || engines="$engines $engine"
done
if [ -n "$engines" ]; then
    gnuplot <<END
set terminal svg size 860,900 dynamic font 'sans-serif,13' background '#ffffff'
set output '$pictures/timeline.svg'
set datafile separator ','
set key outside right top
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror
set lmargin 11
set rmargin 20
set linetype 1 lc rgb '#c44e52'
set linetype 2 lc rgb '#4c72b0'
set linetype 3 lc rgb '#e5a5a7'
set linetype 4 lc rgb '#a8bbdb'
engines = '$engines'
file(e) = '$soak/timeline-'.e.'.csv'
set multiplot layout 4,1 title 'Half point SELECT, half UPDATE, 8 threads, beside a scan'
set ylabel 'operations a second'; set yrange [0:*]; set format y '%.0s%c'
plot for [i=1:words(engines)] file(word(engines, i)) skip 1 using 1:2 with lines lw 1.5 lt i title word(engines, i)
set ylabel 'milliseconds'; set yrange [0.01:*]; set logscale y; set format y '%g'
plot for [i=1:words(engines)] file(word(engines, i)) skip 1 using 1:(\$4/1000) with lines lw 1.5 lt i title word(engines, i).' p99.9', \
     for [i=1:words(engines)] file(word(engines, i)) skip 1 using 1:(\$5/1000) with lines lt i+2 title word(engines, i).' longest'
unset logscale y
set ylabel 'MB of memory'; set yrange [0:*]
plot for [i=1:words(engines)] file(word(engines, i)) skip 1 using 1:6 with lines lw 1.5 lt i title word(engines, i), \
     for [i=1:words(engines)] file(word(engines, i)) skip 1 using 1:7 with lines lt i+2 title word(engines, i).' mapped'
set ylabel 'MB of files'; set xlabel 'seconds'
plot for [i=1:words(engines)] file(word(engines, i)) skip 1 using 1:8 with lines lw 1.5 lt i title word(engines, i).' log', \
     for [i=1:words(engines)] file(word(engines, i)) skip 1 using 1:9 with lines lt i+2 title word(engines, i).' data'
unset multiplot
END
fi

# A picture stands where the tables ask for it, if there was something to draw.
while IFS= read -r line; do
    case $line in
    "@picture "*)
        name=${line#@picture }
        if [ -e "$pictures/$name.svg" ]; then
            printf '\n![%s](%s/%s.svg)\n' "$name" "$(basename "$pictures")" "$name"
        fi
        ;;
    *) printf '%s\n' "$line" ;;
    esac
done <"$work/tables.md" >"$work/document.md"
mv "$work/document.md" "$document"
echo "report: $document"
