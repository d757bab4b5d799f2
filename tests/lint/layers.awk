# layers.awk - fail on an include that points up a layer, or at a library its file may not use.
#
# usage: awk -f layers.awk src/LAYERS src/*.[ch] ext/*.[ch]
#
# src/LAYERS has a line a layer, "2: record segment log"; a file may include its own layer and those
# below. ext/ stands outside: it includes ../src/txkv.h and its own headers.
function base(p) { sub(/.*\//, "", p); return p }
function mod(p) { p = base(p); sub(/\.[ch]$/, "", p); return p }
function complain(text) { print FILENAME ":" FNR ": " text; bad = 1 }

BEGIN {
    # A library's header, and the only files that may include it.
    owner["ck_pr.h"] = "src/atomic"
    owner["ck_ec.h"] = "src/event"
    owner["ck_epoch.h"] = "src/epoch"
    owner["ck_stack.h"] = "src/mpsc"
    owner["ck_hs.h"] = "src/hashidx"
    owner["lmdb.h"] = "src/tree[a-z_]*"
    owner["sqlite3ext.h"] = "ext/sqlite"
    owner["sqlite3.h"] = "nobody"
}

FILENAME ~ /LAYERS$/ {
    sub(/:/, "", $1)
    for (i = 2; i <= NF; i++)
        layer[mod($i)] = $1
    next
}

FNR == 1 {
    in_ext = FILENAME ~ /(^|\/)ext\//
    here = (in_ext ? "ext/" : "src/") mod(FILENAME)
    if (!in_ext && !(mod(FILENAME) in layer))
        complain("not in src/LAYERS")
}

/^#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    target = quoted[2]
    if (in_ext) {
        if (target != "../src/txkv.h" && target ~ /\//)
            complain("ext/ may not include " target)
    } else if (!(mod(target) in layer) || layer[mod(target)] > layer[mod(FILENAME)]) {
        complain("may not include " target ", which is in no layer or a higher one")
    }
}

/^#[ \t]*include[ \t]*</ {
    split($0, quoted, /[<>]/)
    target = quoted[2]
    if (target in owner) {
        if (here !~ ("^" owner[target] "$"))
            complain("only " owner[target] " may include " target)
    } else if (target ~ /^ck_/) {
        complain("no file owns " target "; add it to tests/lint/layers.awk")
    }
}

END { exit bad }
