#!/bin/sh
# coverage.sh - what the tests have run of src/ and ext/, as gcov counted it: lines and branches by file, and totals.
#
# usage: coverage.sh OUT    from the repository's root; OUT is a build directory of COV=1 whose programs have run
#
# A file of ext/ is compiled twice, for txkv.so and for programs that link SQLite; a line or a branch counts when
# either has run it. A branch is one way out of a condition. Those of an assert do not count: one of them cannot be
# taken by a program that is right. The lines not run stand in OUT/coverage.lines, FILE:LINE: TEXT; branches never
# taken in OUT/coverage.branches. A process that was killed has not written its counts down, and they are missing.
set -u

out=${1:?the build directory}
lines=$out/coverage.lines
branches=$out/coverage.branches
: >"$lines"
: >"$branches"

# gcov -t prints "COUNT:LINE:TEXT", and after a line with branches one "branch N taken M" for each.
find "$out/src" "$out/ext" "$out/ext-static" -name '*.gcda' | sort | while read -r data; do
    gcov -t -b -c "$data" 2>/dev/null
done | awk -v lines="$lines" -v branches="$branches" '
    function percent(part, all) { return all == 0 ? 100 : 100 * part / all }

    /^ *-: *0:Source:/ {
        sub(/^[^S]*Source:/, "")
        file = $0
        sub(/^\.\//, "", file)
        wanted = file ~ /^(src|ext)\//
        if (wanted && !(file in seen)) { seen[file] = 1; order[++files] = file }
        in_assert = 0
        next
    }
    !wanted { next }
    /^ *[-#=0-9]+\*?: *[0-9]+:/ {
        split($0, part, ":")
        count = part[1]
        gsub(/[ *]/, "", count)
        number = part[2] + 0
        source = $0
        sub(/^[^:]*:[^:]*:/, "", source)
        here = file ":" number
        text[here] = source
        if (source ~ /^ *assert\(/) in_assert = 1
        skipped = in_assert
        if (in_assert && source ~ /; *(\/\*.*)?$/) in_assert = 0
        if (count != "-") {
            if (!(here in run)) { run[here] = 0; last[file] = number > last[file] ? number : last[file] }
            if (count !~ /[#=]/) run[here] += count
        }
        next
    }
    /^branch +[0-9]+ / && !skipped {
        way = here SUBSEP $2
        if (!(way in taken)) { taken[way] = 0; if ($2 >= ways[here]) ways[here] = $2 + 1 }
        if ($3 == "taken") taken[way] += $4
    }

    END {
        if (files == 0) { print "no counts: has a program of a COV=1 build run?"; exit 1 }
        for (f = 1; f <= files; f++) {
            file = order[f]
            all = ran = outs = took = 0
            for (n = 1; n <= last[file]; n++) {
                here = file ":" n
                if (here in run) {
                    all++
                    if (run[here] > 0) ran++; else print here ": " text[here] >lines
                }
                for (w = 0; w < ways[here]; w++) {
                    if (!((here, w) in taken)) continue # gcov gives calls numbers of the same row
                    outs++
                    if (taken[here, w] > 0) took++
                    else if (run[here] > 0) print here ": way " w ": " text[here] >branches
                }
            }
            printf "%-28s lines %5d of %5d %6.1f %%   branches %5d of %5d %6.1f %%\n", file, ran, all, percent(ran, all), took, outs, percent(took, outs)
            all_lines += all; ran_lines += ran; all_ways += outs; took_ways += took
        }
        printf "coverage: lines %.1f %%, branches %.1f %% (%d of %d, %d of %d)\n", percent(ran_lines, all_lines), percent(took_ways, all_ways), ran_lines, all_lines, took_ways, all_ways
    }'
