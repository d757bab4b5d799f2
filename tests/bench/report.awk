# report.awk - the tables of docs/benchmarks.md, and the numbers of its pictures; see report.sh.
#
# First file: what the benchmark printed. Second: results.jsonl, of which the lines behind the last
# {"begin":...} count. Writes Markdown, and DATA/NAME.dat for each picture.

function field(name,    at, rest) {
    at = index($0, "\"" name "\":")
    if (at == 0)
        return ""
    rest = substr($0, at + length(name) + 3)
    if (substr(rest, 1, 1) == "\"") {
        rest = substr(rest, 2)
        return substr(rest, 1, index(rest, "\"") - 1)
    }
    match(rest, /^[^,}]*/)
    return substr(rest, 1, RLENGTH)
}

# The middle of the space-separated numbers; least and most are set besides.
function median(list,    values, n, i, j, x) {
    n = split(list, values, " ")
    for (i = 2; i <= n; i++) {
        x = values[i] + 0
        for (j = i - 1; j > 0 && values[j] + 0 > x; j--)
            values[j + 1] = values[j]
        values[j + 1] = x
    }
    least = values[1] + 0
    most = values[n] + 0
    return n % 2 ? values[(n + 1) / 2] + 0 : (values[n / 2] + values[n / 2 + 1]) / 2
}

function short(x) {
    if (x >= 1e6)
        return sprintf(x >= 1e7 ? "%.1fM" : "%.2fM", x / 1e6)
    if (x >= 1e4)
        return sprintf("%.0fk", x / 1e3)
    return sprintf(x >= 100 ? "%.0f" : "%.2f", x)
}

function has(work, engine) { return (work, engine) in runs }

function value(work, engine) { return has(work, engine) ? median(runs[work, engine]) : 0 }

# Whether less is better: what is measured in time.
function is_time(work) { return unit[work] == "ms" || unit[work] == "us" }

function title_of(work) { return work in title ? title[work] : work }

# A table of the works whose names match, a column for each engine that took part.
function table(heading, pattern, picture,    i, e, w, head, rule, line, used, any, theirs, ratio) {
    any = 0
    for (i = 1; i <= work_count; i++)
        if (works[i] ~ pattern)
            for (e = 1; e <= engine_count; e++)
                if (has(works[i], engines[e]))
                    any = used[engines[e]] = 1
    if (!any)
        return
    printf "\n## %s\n", heading
    if (picture != "")
        printf "@picture %s\n", picture
    head = "| work | unit |"
    rule = "| --- | --- |"
    for (e = 1; e <= engine_count; e++)
        if (engines[e] in used) {
            head = head " " engines[e] " |"
            rule = rule " ---: |"
        }
    printf "\n%s txkv / sqlite |\n%s ---: |\n", head, rule
    for (i = 1; i <= work_count; i++) {
        w = works[i]
        if (w !~ pattern)
            continue
        printed[w] = 1
        line = "| `" w "` " title_of(w) " | " unit[w] " |"
        for (e = 1; e <= engine_count; e++)
            if (engines[e] in used)
                line = line (has(w, engines[e]) ? \
                    " " short(value(w, engines[e])) " (" short(least) " - " short(most) ") |" : " |")
        theirs = value(w, "sqlite")
        ratio = has(w, "txkv") && theirs ? sprintf("%.2fx", value(w, "txkv") / theirs) : ""
        printf "%s %s |\n", line, ratio
    }
}

# A picture's numbers: rows "label work", columns the engines that have any of them; relative to
# SQLite when `relative`.
function draw(name, rows, relative,    list, n, i, e, pair, file, used, line, count, base) {
    n = split(rows, list, ";")
    file = data "/" name ".dat"
    for (i = 1; i <= n; i++) {
        split(list[i], pair, "=")
        for (e = 1; e <= engine_count; e++)
            if (has(pair[2], engines[e]) && (!relative || has(pair[2], "sqlite")))
                count = used[engines[e]] = 1
    }
    if (!count)
        return
    line = "x"
    for (e = 1; e <= engine_count; e++)
        if (engines[e] in used)
            line = line " " engines[e]
    print line > file
    for (i = 1; i <= n; i++) {
        split(list[i], pair, "=")
        base = relative ? value(pair[2], "sqlite") : 1
        if (base == 0 || !has(pair[2], "txkv"))
            continue
        line = pair[1]
        for (e = 1; e <= engine_count; e++)
            if (engines[e] in used)
                line = line " " (has(pair[2], engines[e]) ? value(pair[2], engines[e]) / base : "?")
        print line > file
    }
    close(file)
}

function draw_latency(work,    e, file, any) {
    file = data "/latency.dat"
    for (e = 1; e <= engine_count; e++)
        if ((work, engines[e]) in p50) {
            if (!any++)
                print "x p50 p99 p99.9" > file
            print engines[e], median(p50[work, engines[e]]), median(p99[work, engines[e]]), \
                median(p999[work, engines[e]]) > file
        }
    if (any)
        close(file)
}

# The reads and writes of one thread in stores of more and more rows.
function draw_growth(    file, i, w, any) {
    file = data "/growth.dat"
    for (i = 1; i <= work_count; i++)
        if (works[i] ~ /^growth-point-/) {
            w = works[i]
            sub(/^growth-point-/, "", w)
            if (!any++)
                print "x txkv-read sqlite-read txkv-write sqlite-write" > file
            print w, value("growth-point-" w, "txkv"), value("growth-point-" w, "sqlite"), \
                value("growth-upsert-" w, "txkv"), value("growth-upsert-" w, "sqlite") > file
        }
    if (any)
        close(file)
}

FNR == NR && /^(machine|system|versions|method)  */ { about = about "\n" $0; in_about = 1; next }
FNR == NR && in_about && /^          / { about = about "\n" $0; next }
FNR == NR && /^[a-z0-9A-Z-]+: / {
    in_about = 0
    now = substr($0, 1, index($0, ":") - 1)
    title[now] = substr($0, index($0, ":") + 2)
    next
}
FNR == NR && /  goal [<>]= / {
    what = $0
    sub(/^ +/, "", what)
    sub(/   *.*/, "", what)
    got = $0
    sub(/  goal .*/, "", got)
    sub(/^ +/, "", got)
    got = substr(got, length(what) + 1)
    sub(/^ +/, "", got)
    gsub(/  +/, " ", got)
    verdict = $0
    sub(/.*  goal /, "", verdict)
    goal = verdict
    sub(/: .*/, "", goal)
    sub(/^[^:]*: /, "", verdict)
    gsub(/>=/, "at least", goal)
    gsub(/<=/, "at most", goal)
    goal_lines = goal_lines "| `" now "` " title[now] " | " what " | " got " | " goal " | " \
        (verdict == "met" ? "met" : "**" verdict "**") " |\n"
    goal_count++
    goals_met += verdict == "met"
    next
}
FNR == NR { next }

/^\{"begin":/ {
    delete runs; delete p50; delete p99; delete p999; delete seen_work; delete seen_engine
    work_count = engine_count = failures = run_count = 0
    date = field("begin")
    command = field("command")
    next
}
/^\{"part":/ {
    parts = parts "- and, in place of their runs or beside them: `" field("command") "`\n"
    next
}
field("verified") != "true" { failures++; next }
{
    w = field("work")
    e = field("engine")
    if (!(w in seen_work)) {
        seen_work[w] = 1
        works[++work_count] = w
        unit[w] = field("unit")
    }
    if (!(e in seen_engine)) {
        seen_engine[e] = 1
        engines[++engine_count] = e
    }
    run_count++
    runs[w, e] = runs[w, e] " " field("value")
    if (field("p50_us") != "") {
        p50[w, e] = p50[w, e] " " field("p50_us")
        p99[w, e] = p99[w, e] " " field("p99_us")
        p999[w, e] = p999[w, e] " " field("p999_us")
    }
}

END {
    print "# Benchmarks\n"
    print "Made by `make bench-report` from the last run of `make bench` or `make bench-full`; the works, the engines and"
    print "how they are measured stand in [testing.md](testing.md#the-benchmark). Every number is the median of the runs of"
    print "one engine, interleaved with those of the others, with the smallest and the largest; every run was verified."
    printf "\n- date: %s\n- command: `%s`\n%s- runs: %d, of which failed: %d\n", date, command, parts, run_count + failures, failures
    printf "\n```\n%s\n```\n", substr(about, 2)
    if (goal_count > 0) {
        printf "\n## Goals\n\n%d of %d are met.\n\n| work | what | got | goal | |\n| --- | --- | --- | --- | --- |\n%s", \
            goals_met, goal_count, goal_lines
    }
    table("Writes, each durable when it returns", "^(upsert-full|processes-full|txn10-full|rmw-full)", "writes-full")
    print "@picture latency"
    table("Writes that a power failure may undo", "^(upsert-normal|txn10-normal|rmw-normal|mix-normal)", "writes-normal")
    table("Bulk loads, checkpoint, start", "^(load|checkpoint|reopen|idle)", "")
    table("Reads", "^(point|range|scan)", "reads")
    table("Tables with declared columns", "^columns", "columns")
    table("YCSB", "^ycsb", "ycsb-full")
    print "@picture ycsb-normal"
    table("Sizes of values", "^size", "sizes")
    table("Growth", "^growth", "growth")
    table("Less memory than data", "^limited", "")
    table("Second by second", "^timeline", "timeline")
    for (i = 1; i <= work_count; i++)
        for (e = 1; e <= engine_count; e++) {
            w = works[i]
            ours = value(w, "txkv")
            theirs = value(w, engines[e])
            if (engines[e] ~ /^txkv/ || ours == 0 || theirs == 0 || unit[w] ~ /CPU/)
                continue
            if (is_time(w) ? ours > theirs : ours < theirs)
                losses = losses sprintf("| `%s` %s | %s | %s %s | %s %s | %.2fx |\n", w, title_of(w), engines[e], \
                    short(ours), unit[w], short(theirs), unit[w], ours / theirs)
        }
    if (losses != "") {
        print "\n## Where txkv is slower\n"
        print "Every work and engine of this run where its median is behind. `append`, `preallocated` and `empty` are limits,"
        print "not stores; the key-value libraries run without SQL, and `lmdb` and `leveldb` have one writer or one process."
        printf "\n| work | engine | txkv | the other | ratio |\n| --- | --- | ---: | ---: | ---: |\n%s", losses
    }
    draw("writes-full", "1=upsert-full-1;2=upsert-full-2;8=upsert-full-8;50=upsert-full-50", 0)
    draw("writes-normal", "1=upsert-normal-1;2=upsert-normal-2;8=upsert-normal-8;50=upsert-normal-50", 0)
    draw("reads", "autocommit=point-auto;transaction=point-txn;missing=point-miss;range=range-asc;scan=scan", 1)
    draw("columns", "point=columns-point;index=columns-index;list=columns-list;range=columns-range;last=columns-last;scan=columns-scan;join=columns-join;insert=columns-insert", 1)
    draw("ycsb-full", "A=ycsb-a-full-8;B=ycsb-b-full-8;C=ycsb-c-8;D=ycsb-d-full-8;E=ycsb-e-full-8;F=ycsb-f-full-8", 1)
    draw("ycsb-normal", "A=ycsb-a-normal-8;B=ycsb-b-normal-8;C=ycsb-c-8;D=ycsb-d-normal-8;E=ycsb-e-normal-8;F=ycsb-f-normal-8", 1)
    draw("sizes", "10=size-upsert-10B;1Ki=size-upsert-1KiB;64Ki=size-upsert-64KiB;1Mi=size-upsert-1MiB", 0)
    draw_latency("upsert-full-50")
    draw_growth()
}
