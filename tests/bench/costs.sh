#!/bin/sh
# costs.sh - what the promises and the options of txkv cost, as tables in Markdown.
#
# usage: OUT=build/gcc-release tests/bench/costs.sh [RUNS [SECONDS]]    from the repo's root; 3 runs of 2.5 s
#
# Compared settings run in turns, so that what drifts on the machine meets each of them alike. A row is the
# median of a setting, with the smallest and the largest. Without checksums means a library of its own,
# which nobody should use.
set -eu

out=${OUT:?the build directory}
runs=${1:-3}
seconds=${2:-2.5}
dir=${BENCH_DIR:-build/bench}/costs
plain=$PWD/txkv.so
bare=$dir/without-checksums/txkv.so
mkdir -p "$dir/without-checksums"

# measure WORK ENGINE LABEL [option ...]: one run, noted down as "WORK LABEL value what-else".
measure() {
    work=$1 engine=$2 label=$3
    shift 3
    : >"$dir/results.jsonl"
    "$out/tests/bench/bench" --dir "$dir" --only "$work" --engine "$engine" --runs 1 --seconds "$seconds" "$@" \
        >/dev/null 2>"$dir/errors" || { cat "$dir/errors" >&2; exit 1; }
    awk -v work="$work" -v label="$label" '
        function number(name) { return match($0, "\"" name "\":[0-9.]+") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) : 0 }
        { print work "\t" label "\t" number("value") "\t" number("group_size") "\t" number("max_us") / 1000 "\t" number("anon_kb") / 1024 }
    ' "$dir/results.jsonl" >>"$dir/notes"
    echo "costs: $work, $label: $(tail -n 1 "$dir/notes" | cut -f 3)" >&2
}

# table TITLE UNIT: what was noted down, a row for each work and label in their order; then forget it.
table() {
    awk -F '\t' -v title="$1" -v unit="$2" '
        function sorted(list, v,    n, i, j, x) {
            n = split(list, v, " ")
            for (i = 2; i <= n; i++) {
                x = v[i] + 0
                for (j = i - 1; j > 0 && v[j] + 0 > x; j--)
                    v[j + 1] = v[j]
                v[j + 1] = x
            }
            return n
        }
        function shown(x) { return x == 0 ? "" : sprintf("%.1f", x) }
        function middle(list,    v, n) { n = sorted(list, v); return v[int((n + 1) / 2)] }
        { row = $1 "\t" $2; if (!(row in values)) rows[++count] = row }
        { values[row] = values[row] " " $3; groups[row] = groups[row] " " $4; most[row] = most[row] " " $5; memory[row] = memory[row] " " $6 }
        END {
            printf "\n### %s\n\n| work | | %s | commits in a group | longest, ms | memory, MB |\n| --- | --- | ---: | ---: | ---: | ---: |\n", title, unit
            for (i = 1; i <= count; i++) {
                split(rows[i], part, "\t")
                n = sorted(values[rows[i]], v)
                printf "| `%s` | %s | %.0f (%.0f - %.0f) | %s | %s | %.0f |\n", part[1], part[2], v[int((n + 1) / 2)], v[1], v[n], \
                    shown(middle(groups[rows[i]])), shown(middle(most[rows[i]])), middle(memory[rows[i]])
            }
        }' "$dir/notes"
    : >"$dir/notes"
}

make -s OUT="$dir/build" CPPFLAGS="${CPPFLAGS:-} -DTX_WITHOUT_CHECKSUMS" "$dir/build/txkv.so"
cp "$dir/build/txkv.so" "$bare"
: >"$dir/notes"

for _ in $(seq "$runs"); do
    measure mix-normal-8 txkv serializable
    measure mix-normal-8 txkv-snapshot snapshot
done
table "Isolation" "operations a second"

for work in upsert-normal-1 txn10-normal-50 load-random; do
    for _ in $(seq "$runs"); do
        measure "$work" txkv "with checksums" --ext "$plain"
        measure "$work" txkv "without" --ext "$bare"
    done
done
table "Checksums" "rows a second"

for _ in $(seq "$runs"); do
    for threads in 1 2 8 50; do
        measure "upsert-full-$threads" txkv "$threads threads"
    done
done
table "Group commit" "commits a second"

for _ in $(seq "$runs"); do
    for mib in 4 16 64 256; do
        measure txn10-normal-50 txkv "checkpoint_bytes=${mib}MiB" \
            --args ", checkpoint_bytes='${mib}MiB', overlay_limit='1GiB'"
    done
done
table "checkpoint_bytes: throughput" "rows a second"

for _ in $(seq "$runs"); do
    for mib in 4 16 64 256; do
        measure reopen txkv "${mib} MiB of log" --rows $((mib * 1048576 * 5 / 147))
    done
done
table "checkpoint_bytes: start after a kill" "milliseconds"
