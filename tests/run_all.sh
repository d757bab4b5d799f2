#!/bin/sh
# run_all.sh - run suites of tests one after the other and add up what they say.
#
# usage: run_all.sh LOG_DIR 'NAME|COMMAND' ...
#
# A suite tells its result on a line "N passed, N failed", or in cmocka's words. A suite that says
# nothing, or fails without saying so, counts as one failure: silence is no success. The whole output
# of each is kept in LOG_DIR/NAME.log, and shown when it fails. The last line is the sum.
set -u

log_dir=$1
shift
mkdir -p "$log_dir"
limit_s=${SUITE_TIMEOUT_S:-300}
passed=0
failed=0
count=0
total=$#

for suite in "$@"; do
    count=$((count + 1))
    name=${suite%%|*}
    command=${suite#*|}
    log=$log_dir/$(echo "$name" | tr '/ ' '__').log
    [ -t 1 ] && printf '[%d/%d] %s ...\r' "$count" "$total" "$name"

    begin=$(date +%s%N)
    timeout -k 5 "$limit_s" sh -c "$command" >"$log" 2>&1 </dev/null
    rc=$?
    took=$((($(date +%s%N) - begin) / 100000000))

    result=$(awk -v rc="$rc" '
        /^\[  PASSED  \] [0-9]+ test/ { p += $4; said = 1 }
        /^\[  FAILED  \] [0-9]+ test/ { f += $4; said = 1 }
        /(^|: )[0-9]+ passed, [0-9]+ failed$/ { line = $0 }
        END {
            if (line != "") { # the last one: it sums up those before it
                n = split(line, w, " ")
                p += w[n - 3]; f += w[n - 1]; said = 1
            }
            p += 0; f += 0
            if (f == 0 && (rc != 0 || !said || p == 0))
                f = 1
            print p, f
        }' "$log")
    p=${result% *}
    f=${result#* }
    passed=$((passed + p))
    failed=$((failed + f))

    verdict=ok
    [ "$f" -eq 0 ] || verdict=FAIL
    printf '%-4s %-28s %5d passed, %d failed  %4d.%d s\n' "$verdict" "$name" "$p" "$f" \
        $((took / 10)) $((took % 10))
    if [ "$f" -ne 0 ]; then
        [ "$rc" -eq 124 ] && echo "     stopped after $limit_s s"
        [ "$p" -eq 0 ] && [ "$rc" -eq 0 ] && echo "     it ran nothing"
        echo "     exit code $rc; the end of $log:"
        tail -n 40 "$log" | sed 's/^/     | /'
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
