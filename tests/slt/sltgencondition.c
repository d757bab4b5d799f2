/*
 * sltgencondition.c - see sltgen.h: what stands behind WHERE.
 */
#include <string.h>

#include "sltgen.h"

static const char numbers[] = "ijr", all[] = "ijsnr";

#define ADD(...) buffer_add(&g->sql, __VA_ARGS__)

bool
gen_chance(struct gen *g, uint32_t one_in)
{
    return gen_roll(g, one_in) == 0;
}

char
gen_one_of(struct gen *g, const char *columns)
{
    return columns[gen_roll(g, (uint32_t)strlen(columns))];
}

const char *
gen_comparison(struct gen *g)
{
    static const char *const words[] = {
        "=", "=", "=", "<", "<=", ">", ">=", "<>", "IS", "IS NOT"
    };

    return words[gen_roll(g, sizeof words / sizeof words[0])];
}

void
gen_column(struct gen *g, const char *alias, char column)
{
    ADD("%s%s%c", alias, *alias == '\0' ? "" : ".", column);
}

void
gen_list(struct gen *g, char column)
{
    const uint32_t values = gen_roll(g, 6);

    ADD("(");
    for (uint32_t i = 0; i < values; i++) {
        ADD("%s", i == 0 ? "" : ", ");
        gen_value(g, column, gen_chance(g, 4));
    }
    ADD(")");
}

static void
add_pattern(struct gen *g, const char *alias)
{
    static const char *const patterns[] = {
        "LIKE 'a%'",     "LIKE 'AB%'", "LIKE '%b'",    "LIKE 'a_c'", "LIKE 'a\\%%' ESCAPE '\\'",
        "LIKE 'ab'",     "GLOB 'a*'",  "GLOB '[ab]*'", "GLOB 'ab?'", "GLOB 'a[b-d]*'",
        "NOT LIKE 'a%'", "LIKE '%'",   "GLOB '*'",     "LIKE '1%'",  "NOT GLOB 'a*'",
        "LIKE 'an%'",    "LIKE 'BO%'", "LIKE ''",      "GLOB 'B*'",  "LIKE NULL"
    };

    gen_column(g, alias, gen_chance(g, 3) ? 'n' : 's');
    ADD(" %s", patterns[gen_roll(g, sizeof patterns / sizeof patterns[0])]);
}

/* Row values, of columns that an index or a key may have side by side. */
static void
add_row_value(struct gen *g, const char *alias)
{
    static const char *const pairs[] = { "ij", "ji", "sj", "ni", "jr", "si" };
    static const char *const words[] = { "=", "<", "<=", ">", ">=" };
    const char *pair = pairs[gen_roll(g, 6)];

    ADD("(");
    gen_column(g, alias, pair[0]);
    ADD(", ");
    gen_column(g, alias, pair[1]);
    if (gen_chance(g, 3)) {
        ADD(") IN (SELECT %c, %c FROM %s WHERE id < %u)", pair[0], pair[1], gen_table(g, -1),
            gen_roll(g, 30));
        return;
    }
    ADD(") %s (", words[gen_roll(g, 5)]);
    gen_value(g, pair[0], false);
    ADD(", ");
    gen_value(g, pair[1], false);
    ADD(")");
}

static void
add_subquery(struct gen *g, const char *alias)
{
    const char column = gen_one_of(g, all);

    switch (gen_roll(g, 4)) {
    case 0:
        ADD("%sEXISTS (SELECT 1 FROM %s AS z WHERE z.%c %s ", gen_chance(g, 3) ? "NOT " : "",
            gen_table(g, -1), column, gen_chance(g, 4) ? ">" : "=");
        if (*alias == '\0')
            gen_value(g, column, false);
        else
            gen_column(g, alias, column);
        ADD(" AND z.id < %u)", gen_roll(g, 40));
        break;
    case 1:
        gen_column(g, alias, column);
        ADD(" %sIN (SELECT z.%c FROM %s AS z WHERE ", gen_chance(g, 3) ? "NOT " : "", column,
            gen_table(g, -1));
        gen_predicate(g, "z", 0);
        ADD(")");
        break;
    case 2:
        gen_column(g, alias, column);
        ADD(" %s (SELECT %s(z.%c) FROM %s AS z)", gen_comparison(g),
            gen_chance(g, 2) ? "min" : "max", column, gen_table(g, -1));
        break;
    default:
        gen_column(g, alias, 'j');
        ADD(" %s (SELECT count(*) FROM %s AS z WHERE z.j = %s%sj)", gen_comparison(g),
            gen_table(g, -1), alias, *alias == '\0' ? "" : ".");
    }
}

static void
add_between(struct gen *g, const char *alias)
{
    const char column = gen_one_of(g, all);

    gen_column(g, alias, column);
    ADD(" %sBETWEEN ", gen_chance(g, 5) ? "NOT " : "");
    gen_value(g, column, gen_chance(g, 3));
    ADD(" AND ");
    gen_value(g, column, gen_chance(g, 3));
}

/* Two columns of one row, a type's text for its number, an expression of a column. */
static void
add_odd(struct gen *g, const char *alias)
{
    switch (gen_roll(g, 6)) {
    case 0:
        gen_column(g, alias, gen_one_of(g, numbers));
        ADD(" %s ", gen_comparison(g));
        gen_column(g, alias, gen_one_of(g, numbers));
        break;
    case 1:
        gen_column(g, alias, gen_one_of(g, "ij"));
        ADD(" %s '%u'", gen_comparison(g), gen_roll(g, 10));
        break;
    case 2:
        gen_column(g, alias, gen_one_of(g, "ij"));
        ADD(" %s %u.5", gen_comparison(g), gen_roll(g, 10));
        break;
    case 3:
        gen_column(g, alias, 'i');
        ADD(" %s 'abc'", gen_comparison(g));
        break;
    case 4:
        gen_column(g, alias, 's');
        ADD(" %s %u", gen_chance(g, 2) ? "<" : ">=", gen_roll(g, 12));
        break;
    default:
        gen_column(g, alias, 'i');
        ADD(" + ");
        gen_column(g, alias, 'j');
        ADD(" %s ", gen_comparison(g));
        gen_value(g, 'i', true);
    }
}

static void
add_simple(struct gen *g, const char *alias)
{
    const char column = gen_one_of(g, all);

    gen_column(g, alias, column);
    switch (gen_roll(g, 8)) {
    case 0:
        ADD(" IS %sNULL", gen_chance(g, 2) ? "NOT " : "");
        break;
    case 1:
        ADD(" %sIN ", gen_chance(g, 4) ? "NOT " : "");
        gen_list(g, column);
        break;
    case 2:
        ADD(" %s ", gen_comparison(g));
        gen_value(g, column, false);
        if (g->no_collations)
            break;
        ADD(" COLLATE %s", gen_chance(g, 2) ? "NOCASE" : (gen_chance(g, 2) ? "RTRIM" : "BINARY"));
        break;
    default:
        ADD(" %s ", gen_comparison(g));
        gen_value(g, column, gen_chance(g, 4));
    }
}

/*
 * Two conditions. Of several with OR none has a COLLATE: SQLite 3.40 makes an IN of them, and loses
 * the collation, where there is an index for it.
 */
static void
add_both(struct gen *g, const char *alias, int depth, bool has_or)
{
    const bool before = g->no_collations;

    g->no_collations = before || has_or;
    ADD("%s(", gen_chance(g, 5) ? "NOT " : "");
    gen_predicate(g, alias, depth);
    ADD(" %s ", has_or ? "OR" : "AND");
    gen_predicate(g, alias, depth);
    ADD(")");
    g->no_collations = before;
}

void
gen_predicate(struct gen *g, const char *alias, int depth)
{
    const uint32_t dice = gen_roll(g, depth > 0 ? 14 : 9);

    if (dice < 4) {
        add_simple(g, alias);
    } else if (dice == 4) {
        add_between(g, alias);
    } else if (dice == 5 && !g->no_patterns) {
        add_pattern(g, alias);
    } else if (dice == 6) {
        add_odd(g, alias);
    } else if (dice == 7) {
        add_row_value(g, alias);
    } else if (dice == 8) {
        ADD("%s%sid %s %u", alias, *alias == '\0' ? "" : ".", gen_comparison(g), gen_roll(g, 40));
    } else if (dice < 11) {
        add_subquery(g, alias);
    } else {
        add_both(g, alias, depth - 1, gen_chance(g, 3));
    }
}
