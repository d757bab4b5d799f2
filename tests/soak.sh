#!/bin/sh
# soak.sh - the proofs that are random, at length, and their totals.
#
# usage: soak.sh OUT MINUTES    from the repository's root; OUT is the build directory
#
# What a program takes in seconds gets its share of the time; what it takes in rounds, about as many as fit. Ten
# minutes are a million statements of shapes, which checks after every 50.
set -u

out=$1
minutes=$2
logs=$out/logs/soak
rm -rf "$logs"
mkdir -p "$logs"
share() { echo $((minutes * 60 * $1 / 100)); } # percent of the time, in seconds

export TXKV_SO="$out/txkv.so" SUITE_TIMEOUT_S=$((minutes * 240))
tests/run_all.sh "$logs" \
    "bank|$out/tests/crash/bank $((minutes * 20))" \
    "kill9|$out/tests/crash/kill9 $((minutes * 50))" \
    "atomic|$out/tests/crash/atomic $((minutes * 20))" \
    "power|$out/tests/power/power $((minutes * 1200))" \
    "power_processes|$out/tests/power/power_processes $((minutes * 1000))" \
    "power_copies|$out/tests/power/power_copies $((minutes * 150))" \
    "power_repairs|$out/tests/power/power_repairs $((minutes * 100))" \
    "power_sql|$out/tests/power/power_sql $((minutes * 500))" \
    "history|$out/tests/history/history $(share 20)" \
    "model|$out/tests/model/model $((minutes * 20))" \
    "differential|$out/tests/model/differential $((minutes * 12))" \
    "shapes|$out/tests/model/shapes $((minutes * 290)) 300" \
    "slt|$out/tests/slt/slt --seeds $((minutes * 10)) 1500" \
    "stress|$out/tests/stress/stress $(share 8)" \
    "contention|$out/tests/stress/contention $(share 8)" \
    "connections|$out/tests/stress/connections $(share 6)" \
    >"$logs/suites"
rc=$?
cat "$logs/suites"

# Isolation levels that must show anomalies say "as there must be"; those are none.
awk '
    function before(word,    i, n) { # the numbers that stand before the word
        n = 0
        for (i = 2; i <= NF; i++)
            if (index($i, word) == 1)
                n += $(i - 1)
        return n
    }
    / transfers acknowledged,/ { committed += $1; conflicts += before("conflicts"); stops += before("stops;") }
    / transactions acknowledged,/ { for (i = 2; i <= NF; i++) if ($i == "transactions" && $(i + 1) == "acknowledged,") committed += $(i - 1)
                                    kills += $1 }
    / power cuts[,;]/ { cuts += $1 }
    / committed,/ { committed += before("committed,"); conflicts += before("aborted,") }
    / statements agreed/ { statements += $1 }
    /^ok .*seed.* passed,/ { records += before("passed,") }
    /anomalies: [0-9]+/ { kills += before("kills,") + before("kills;")
                          if (!/as there must be/) { match($0, /anomalies: [0-9]+/); anomalies += substr($0, RSTART + 11, RLENGTH - 11) } }
    END { printf "totals: %d transactions, %d conflicts, %d kills, %d stops, %d power cuts, anomalies: %d\n", committed, conflicts, kills, stops, cuts, anomalies
          printf "totals: %d statements and %d records of sqllogictest, the same on native tables\n", statements, records }
' "$logs"/*.log
tail -n 1 "$logs/suites"
exit "$rc"
