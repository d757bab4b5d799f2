# limits.awk - fail on files of more than 600 lines, functions of more than 70, and words that say that
# work was left undone.
#
# usage: awk -f limits.awk FILE...
#
# A function's body stands between a brace in the first column and its closing brace, as clang-format
# writes it.
function complain(text) { print FILENAME ":" FNR ": " text; bad = 1 }

# txkv.h is the reference of every call.
FNR == 601 && FILENAME != "src/txkv.h" { complain("the file passes 600 lines") }
/TODO|FIXME/ { complain("unfinished work") }
/^{/ { opened = FNR }
/^}/ && opened > 0 {
    if (FNR - opened - 1 > 70)
        complain("a function of " (FNR - opened - 1) " lines")
    opened = 0
}
END { exit bad }
