/*
 * sltgenquery.c - see sltgen.h: conditions and queries.
 */
#include <string.h>

#include "sltgen.h"

static const char numbers[] = "ijr", all[] = "ijsnr";

static bool
chance(struct gen *g, uint32_t one_in)
{
    return gen_roll(g, one_in) == 0;
}

static char
one_of(struct gen *g, const char *columns)
{
    return columns[gen_roll(g, (uint32_t)strlen(columns))];
}

#define ADD(...) buffer_add(&g->sql, __VA_ARGS__)

/* "SELECT " and what must be in each of the answers' rows is the caller's. */
static void
add_from(struct gen *g, const char *alias)
{
    ADD(" FROM %s AS %s", gen_table(g, -1), alias);
}

/* ---- conditions ---- */

static const char *
comparison(struct gen *g)
{
    static const char *const words[] = {
        "=", "=", "=", "<", "<=", ">", ">=", "<>", "IS", "IS NOT"
    };

    return words[gen_roll(g, sizeof words / sizeof words[0])];
}

static void
add_column(struct gen *g, const char *alias, char column)
{
    ADD("%s%s%c", alias, *alias == '\0' ? "" : ".", column);
}

static void
add_list(struct gen *g, char column)
{
    const uint32_t values = gen_roll(g, 6);

    ADD("(");
    for (uint32_t i = 0; i < values; i++) {
        ADD("%s", i == 0 ? "" : ", ");
        gen_value(g, column, chance(g, 4));
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

    add_column(g, alias, chance(g, 3) ? 'n' : 's');
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
    add_column(g, alias, pair[0]);
    ADD(", ");
    add_column(g, alias, pair[1]);
    if (chance(g, 3)) {
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
    const char column = one_of(g, all);

    switch (gen_roll(g, 4)) {
    case 0:
        ADD("%sEXISTS (SELECT 1 FROM %s AS z WHERE z.%c %s ", chance(g, 3) ? "NOT " : "",
            gen_table(g, -1), column, chance(g, 4) ? ">" : "=");
        if (*alias == '\0')
            gen_value(g, column, false);
        else
            add_column(g, alias, column);
        ADD(" AND z.id < %u)", gen_roll(g, 40));
        break;
    case 1:
        add_column(g, alias, column);
        ADD(" %sIN (SELECT z.%c FROM %s AS z WHERE ", chance(g, 3) ? "NOT " : "", column,
            gen_table(g, -1));
        gen_predicate(g, "z", 0);
        ADD(")");
        break;
    case 2:
        add_column(g, alias, column);
        ADD(" %s (SELECT %s(z.%c) FROM %s AS z)", comparison(g), chance(g, 2) ? "min" : "max",
            column, gen_table(g, -1));
        break;
    default:
        add_column(g, alias, 'j');
        ADD(" %s (SELECT count(*) FROM %s AS z WHERE z.j = %s%sj)", comparison(g), gen_table(g, -1),
            alias, *alias == '\0' ? "" : ".");
    }
}

static void
add_between(struct gen *g, const char *alias)
{
    const char column = one_of(g, all);

    add_column(g, alias, column);
    ADD(" %sBETWEEN ", chance(g, 5) ? "NOT " : "");
    gen_value(g, column, chance(g, 3));
    ADD(" AND ");
    gen_value(g, column, chance(g, 3));
}

/* Two columns of one row, a type's text for its number, an expression of a column. */
static void
add_odd(struct gen *g, const char *alias)
{
    switch (gen_roll(g, 6)) {
    case 0:
        add_column(g, alias, one_of(g, numbers));
        ADD(" %s ", comparison(g));
        add_column(g, alias, one_of(g, numbers));
        break;
    case 1:
        add_column(g, alias, one_of(g, "ij"));
        ADD(" %s '%u'", comparison(g), gen_roll(g, 10));
        break;
    case 2:
        add_column(g, alias, one_of(g, "ij"));
        ADD(" %s %u.5", comparison(g), gen_roll(g, 10));
        break;
    case 3:
        add_column(g, alias, 'i');
        ADD(" %s 'abc'", comparison(g));
        break;
    case 4:
        add_column(g, alias, 's');
        ADD(" %s %u", chance(g, 2) ? "<" : ">=", gen_roll(g, 12));
        break;
    default:
        add_column(g, alias, 'i');
        ADD(" + ");
        add_column(g, alias, 'j');
        ADD(" %s ", comparison(g));
        gen_value(g, 'i', true);
    }
}

static void
add_simple(struct gen *g, const char *alias)
{
    const char column = one_of(g, all);

    add_column(g, alias, column);
    switch (gen_roll(g, 8)) {
    case 0:
        ADD(" IS %sNULL", chance(g, 2) ? "NOT " : "");
        break;
    case 1:
        ADD(" %sIN ", chance(g, 4) ? "NOT " : "");
        add_list(g, column);
        break;
    case 2:
        ADD(" %s ", comparison(g));
        gen_value(g, column, false);
        ADD(" COLLATE %s", chance(g, 2) ? "NOCASE" : (chance(g, 2) ? "RTRIM" : "BINARY"));
        break;
    default:
        ADD(" %s ", comparison(g));
        gen_value(g, column, chance(g, 4));
    }
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
        ADD("%s%sid %s %u", alias, *alias == '\0' ? "" : ".", comparison(g), gen_roll(g, 40));
    } else if (dice < 11) {
        add_subquery(g, alias);
    } else {
        ADD("%s(", chance(g, 5) ? "NOT " : "");
        gen_predicate(g, alias, depth - 1);
        ADD(" %s ", chance(g, 3) ? "OR" : "AND");
        gen_predicate(g, alias, depth - 1);
        ADD(")");
    }
}

static void
add_where(struct gen *g, const char *alias)
{
    const uint32_t terms = gen_roll(g, 4);

    for (uint32_t i = 0; i < terms; i++) {
        ADD("%s", i == 0 ? " WHERE " : (chance(g, 5) ? " OR " : " AND "));
        gen_predicate(g, alias, 1);
    }
}

/* ---- queries: each returns the types of its columns ---- */

static char
type_of(char column)
{
    return column == 's' || column == 'n' ? 'T' : (column == 'r' ? 'R' : 'I');
}

/* All columns, in the order of all columns: a total order but for rows that are the same. */
static const char *
query_ordered(struct gen *g)
{
    static const char *const orders[] = { "i, j", "j DESC", "s", "n, i", "r DESC",    "s DESC",
                                          "j, i", "n",      "i", "j, r", "i DESC, s", "n DESC",
                                          "id",   "s, n",   "r", "j, s", "id DESC",   "1" };
    const bool distinct = chance(g, 5);

    ADD("SELECT %sid, i, j, s, n, r FROM %s", distinct ? "DISTINCT " : "", gen_table(g, -1));
    add_where(g, "");
    ADD(" ORDER BY %s", orders[gen_roll(g, sizeof orders / sizeof orders[0])]);
    ADD(chance(g, 3) ? ", id DESC, i DESC, j DESC, s DESC, n DESC, r DESC" : ", id, i, j, s, n, r");
    if (chance(g, 2))
        ADD(" LIMIT %u OFFSET %u", gen_roll(g, 9), gen_roll(g, 4));
    else if (chance(g, 4))
        ADD(" LIMIT -1 OFFSET %u", gen_roll(g, 9));
    return "IIITTR";
}

static const char *
query_rows(struct gen *g)
{
    ADD("SELECT id, i + j, s || n, r * 2, CASE WHEN i > j THEN 'more' WHEN i = j THEN s ELSE n "
        "END, "
        "CASE j WHEN 1 THEN 'one' WHEN 2 THEN 'two' END");
    add_from(g, "x");
    add_where(g, "x");
    return "IITRTT";
}

/*
 * The condition of a join, of columns of one kind; mostly equality. No LIKE and no GLOB: SQLite
 * 3.40 searches a native right table by the prefix, when its column is NOT NULL and the first of a
 * key, and then forgets the rows of a LEFT JOIN that have no partner.
 */
static void
add_on(struct gen *g, const char *left, const char *right)
{
    static const char *const pairs[] = {
        "ii", "ij", "jj", "ss", "nn", "rr", "ri", "ir", "ji", "sn"
    };
    const char *pair = pairs[gen_roll(g, sizeof pairs / sizeof pairs[0])];
    static const char *const words[] = { "=", "=", "=", "=", "<", ">=", "IS" };

    if (chance(g, 5))
        ADD("%s.id = %s.%s", left, right, chance(g, 2) ? "id" : "i");
    else
        ADD("%s.%c %s %s.%c", left, pair[0], words[gen_roll(g, 7)], right, pair[1]);
    if (chance(g, 3)) {
        ADD(" AND ");
        g->no_patterns = true;
        gen_predicate(g, right, 0);
        g->no_patterns = false;
    }
}

static const char *
query_join(struct gen *g)
{
    static const char *const kinds[] = { "JOIN", "JOIN", "LEFT JOIN", "CROSS JOIN", "INNER JOIN" };

    ADD("SELECT x.id, y.id, x.s, y.n, y.r");
    add_from(g, "x");
    ADD(" %s %s AS y ON ", kinds[gen_roll(g, 5)], gen_table(g, -1));
    add_on(g, "x", "y");
    add_where(g, chance(g, 3) ? "y" : "x");
    return "IITTR";
}

static const char *
query_many_tables(struct gen *g)
{
    const bool four = chance(g, 3);

    if (chance(g, 2)) {
        ADD("SELECT count(*), sum(x.i), max(y.s), min(z.n) FROM %s AS x, %s AS y, %s AS z%s%s "
            "WHERE ",
            gen_table(g, -1), gen_table(g, -1), gen_table(g, -1), four ? ", " : "",
            four ? gen_table(g, -1) : "");
        ADD("x.j = y.i AND ");
        add_on(g, "y", "z");
        ADD(" AND x.id < %u AND y.id < %u AND z.id < %u", gen_roll(g, 25), gen_roll(g, 25),
            gen_roll(g, 25));
        if (four)
            ADD(" AND z.id < 3");
    } else {
        ADD("SELECT count(*), sum(y.i), max(z.s), min(x.n)");
        add_from(g, "x");
        ADD(" LEFT JOIN %s AS y ON ", gen_table(g, -1));
        add_on(g, "x", "y");
        ADD(" %sJOIN %s AS z ON ", chance(g, 2) ? "LEFT " : "", gen_table(g, -1));
        add_on(g, "y", "z");
        ADD(" WHERE x.id < %u AND ", gen_roll(g, 25));
        gen_predicate(g, chance(g, 3) ? "z" : "x", 0);
    }
    return "IITT";
}

static const char *
query_aggregate(struct gen *g)
{
    ADD("SELECT count(*), count(i), sum(j), avg(r), min(s), max(n), total(r), count(DISTINCT j), "
        "sum(i) FILTER (WHERE j > 1)");
    add_from(g, "x");
    add_where(g, "x");
    return "IIIRTTRII";
}

/* One aggregate that an index may answer by its end. */
static const char *
query_extreme(struct gen *g, char types[GEN_TYPES_BYTES])
{
    const char column = one_of(g, all);

    ADD("SELECT %s(%c)", chance(g, 2) ? "min" : "max", column);
    add_from(g, "x");
    add_where(g, "x");
    types[0] = type_of(column);
    types[1] = '\0';
    return types;
}

static const char *
query_group(struct gen *g, char types[GEN_TYPES_BYTES])
{
    const char by = one_of(g, all), second = one_of(g, all);

    ADD("SELECT %c, %c, count(*), sum(i), max(r), min(s)", by, second);
    add_from(g, "x");
    add_where(g, "x");
    ADD(" GROUP BY %c, %c", by, second);
    if (chance(g, 2))
        ADD(" HAVING %s", chance(g, 2) ? "count(*) > 1" : "sum(i) > 3 OR max(r) IS NULL");
    (void)snprintf(types, GEN_TYPES_BYTES, "%c%cIIRT", type_of(by), type_of(second));
    return types;
}

static const char *
query_distinct(struct gen *g, char types[GEN_TYPES_BYTES])
{
    const char a = one_of(g, all), b = one_of(g, all);

    ADD("SELECT DISTINCT %c, %c", a, b);
    add_from(g, "x");
    add_where(g, "x");
    if (chance(g, 2))
        ADD(" ORDER BY %c%s, %c LIMIT %u", a, chance(g, 2) ? " DESC" : "", b, 1 + gen_roll(g, 9));
    (void)snprintf(types, GEN_TYPES_BYTES, "%c%c", type_of(a), type_of(b));
    return types;
}

static const char *
query_correlated(struct gen *g)
{
    const char column = one_of(g, all);

    ADD("SELECT x.id, (SELECT count(*) FROM %s AS y WHERE y.%c = x.%c), ", gen_table(g, -1), column,
        column);
    ADD("(SELECT max(y.i) FROM %s AS y WHERE y.j = x.j AND y.id <> x.id), ", gen_table(g, -1));
    ADD("(SELECT y.s FROM %s AS y WHERE y.i >= x.i ORDER BY y.i, y.s LIMIT 1), ", gen_table(g, -1));
    ADD("EXISTS (SELECT 1 FROM %s AS y WHERE y.n = x.n)", gen_table(g, -1));
    add_from(g, "x");
    add_where(g, "x");
    return "IIITI";
}

static const char *
query_compound(struct gen *g, char types[GEN_TYPES_BYTES])
{
    static const char *const words[] = { "UNION", "UNION ALL", "EXCEPT", "INTERSECT" };
    const char a = one_of(g, all), b = one_of(g, all);
    const uint32_t parts = 2 + gen_roll(g, 2);

    for (uint32_t i = 0; i < parts; i++) {
        if (i > 0)
            ADD(" %s ", words[gen_roll(g, 4)]);
        ADD("SELECT %c, %c", a, b);
        add_from(g, "x");
        add_where(g, "x");
    }
    if (chance(g, 2))
        ADD(" ORDER BY 1%s, 2 LIMIT %u", chance(g, 2) ? " DESC" : "", 1 + gen_roll(g, 9));
    (void)snprintf(types, GEN_TYPES_BYTES, "%c%c", type_of(a), type_of(b));
    return types;
}

static const char *
query_window(struct gen *g)
{
    static const char *const total = "id, i, j, s, n, r";
    static const char *const frames[] = { "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
                                          "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING",
                                          "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                                          "ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW" };
    const char part = one_of(g, "jsn"), by = one_of(g, all);

    ADD("SELECT id, row_number() OVER (PARTITION BY %c ORDER BY %s), ", part, total);
    ADD("rank() OVER (ORDER BY %c), dense_rank() OVER (PARTITION BY %c ORDER BY %c DESC), ", by,
        part, by);
    ADD("lag(i, 1, -9) OVER (ORDER BY %s), sum(r) OVER (PARTITION BY %c ORDER BY %s %s), ", total,
        part, total, frames[gen_roll(g, 4)]);
    ADD("count(*) OVER (PARTITION BY %c), first_value(s) OVER (ORDER BY %c, %s), ntile(3) OVER "
        "(ORDER BY %s)",
        part, by, total, total);
    add_from(g, "x");
    add_where(g, "x");
    return "IIIIIRITI";
}

static const char *
query_cte(struct gen *g)
{
    if (chance(g, 2)) { /* follow j to the rows whose id it is */
        ADD("WITH RECURSIVE w(id, depth) AS (SELECT id, 0 FROM %s WHERE id = %u UNION SELECT y.id, "
            "depth + 1 FROM w JOIN %s AS y ON y.%s = w.id %% 7 WHERE depth < 5) SELECT depth, "
            "count(*), sum(id) FROM w GROUP BY depth",
            gen_table(g, -1), 1 + gen_roll(g, 20), gen_table(g, -1),
            chance(g, 2) ? "j" : (chance(g, 2) ? "i" : "id"));
        return "III";
    }
    ADD("WITH a AS %s(SELECT i, max(r) AS m, count(*) AS c FROM %s GROUP BY i), b AS (SELECT j, s",
        chance(g, 2) ? "MATERIALIZED " : "", gen_table(g, -1));
    add_from(g, "x");
    add_where(g, "x");
    ADD(") SELECT a.i, a.c, b.s FROM a JOIN b ON b.j = a.i WHERE a.c >= %u", gen_roll(g, 3));
    return "IIT";
}

static const char *
query_from_subquery(struct gen *g)
{
    ADD("SELECT q.s, count(*), group_concat(q.id, '+') FROM (SELECT * FROM %s", gen_table(g, -1));
    add_where(g, "");
    ADD(" ORDER BY id, i, j, s, n, r LIMIT %u) AS q LEFT JOIN (SELECT DISTINCT j FROM %s) AS d ON "
        "d.j = q.j GROUP BY q.s, q.id",
        1 + gen_roll(g, 20), gen_table(g, -1));
    return "TIT";
}

static const char *
query_count(struct gen *g)
{
    ADD("SELECT count(*) FROM %s WHERE ", gen_table(g, -1));
    gen_predicate(g, "", 2);
    return "I";
}

/* A native table of values beside it. */
static const char *
query_values(struct gen *g)
{
    const char column = one_of(g, all);

    ADD("SELECT x.id, v.column1, x.r FROM (VALUES(");
    gen_value(g, column, false);
    ADD("), (");
    gen_value(g, column, false);
    ADD("), (");
    gen_value(g, column, true);
    ADD(")) AS v %sJOIN %s AS x ON x.%c = v.column1", chance(g, 2) ? "LEFT " : "", gen_table(g, -1),
        column);
    if (chance(g, 2)) {
        ADD(" AND ");
        g->no_patterns = true;
        gen_predicate(g, "x", 0);
        g->no_patterns = false;
    }
    return "ITR";
}

void
gen_query(struct gen *g, char types[GEN_TYPES_BYTES], const char **sort)
{
    static const char *(*const plain[])(struct gen *) = {
        query_ordered, query_ordered,       query_ordered,   query_rows,       query_join,
        query_join,    query_many_tables,   query_aggregate, query_correlated, query_window,
        query_cte,     query_from_subquery, query_count,     query_count,      query_values
    };
    static const char *(*const typed[])(struct gen *,
                                        char[GEN_TYPES_BYTES]) = { query_extreme, query_group,
                                                                   query_distinct, query_compound };
    const uint32_t count = sizeof plain / sizeof plain[0], n = gen_roll(g, count + 5);
    const char *answer;

    if (n < count)
        answer = plain[n](g);
    else
        answer = typed[n - count < 4 ? n - count : 2](g, types);
    if (answer != types)
        (void)snprintf(types, GEN_TYPES_BYTES, "%s", answer);
    *sort = n < 3 ? "nosort" : "rowsort";
}
