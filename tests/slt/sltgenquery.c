/*
 * sltgenquery.c - see sltgen.h: queries.
 */
#include "sltgen.h"

static const char all[] = "ijsnr";

#define ADD(...) buffer_add(&g->sql, __VA_ARGS__)

static void
add_from(struct gen *g, const char *alias)
{
    ADD(" FROM %s AS %s", gen_table(g, -1), alias);
}

static void
add_where(struct gen *g, const char *alias)
{
    const uint32_t terms = gen_roll(g, 4);

    g->no_collations = gen_chance(g, 3); /* with an OR: see sltgencondition.c */
    for (uint32_t i = 0; i < terms; i++) {
        ADD("%s", i == 0 ? " WHERE " : (g->no_collations && gen_chance(g, 2) ? " OR " : " AND "));
        gen_predicate(g, alias, 1);
    }
    g->no_collations = false;
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
    const bool distinct = gen_chance(g, 5);

    ADD("SELECT %sid, i, j, s, n, r FROM %s", distinct ? "DISTINCT " : "", gen_table(g, -1));
    add_where(g, "");
    ADD(" ORDER BY %s", orders[gen_roll(g, sizeof orders / sizeof orders[0])]);
    ADD(gen_chance(g, 3) ? ", id DESC, i DESC, j DESC, s DESC, n DESC, r DESC"
                         : ", id, i, j, s, n, r");
    if (gen_chance(g, 2))
        ADD(" LIMIT %u OFFSET %u", gen_roll(g, 9), gen_roll(g, 4));
    else if (gen_chance(g, 4))
        ADD(" LIMIT -1 OFFSET %u", gen_roll(g, 9));
    else if (gen_chance(g, 4)) /* known when it runs */
        ADD(" LIMIT (SELECT count(*) - 22 FROM %s) OFFSET (SELECT min(j) FROM %s)",
            gen_table(g, -1), gen_table(g, -1));
    return "IIITTR";
}

/* Lists for two columns that an index may have side by side, in the order of that index. */
static const char *
query_lists(struct gen *g)
{
    static const char *const pairs[] = { "ij", "ji", "sj", "ni", "jr", "sn", "is", "ns" };
    const char *pair = pairs[gen_roll(g, sizeof pairs / sizeof pairs[0])];
    static const char *const directions[] = { "", "", " DESC" };
    const char *first = directions[gen_roll(g, 3)], *second = directions[gen_roll(g, 3)];

    ADD("SELECT id, i, j, s, n, r FROM %s WHERE %c IN ", gen_table(g, -1), pair[0]);
    gen_list(g, pair[0]);
    if (gen_chance(g, 2)) {
        ADD(" AND %c IN ", pair[1]);
        gen_list(g, pair[1]);
    } else if (gen_chance(g, 2)) {
        ADD(" AND %c %s ", pair[1], gen_comparison(g));
        gen_value(g, pair[1], false);
    } else {
        ADD(" AND ");
        gen_predicate(g, "", 1);
    }
    ADD(" ORDER BY %c%s, %c%s, id, i, j, s, n, r", pair[0], first, pair[1], second);
    if (gen_chance(g, 3))
        ADD(" LIMIT %u OFFSET %u", 1 + gen_roll(g, 4), gen_roll(g, 3));
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

    if (gen_chance(g, 5))
        ADD("%s.id = %s.%s", left, right, gen_chance(g, 2) ? "id" : "i");
    else
        ADD("%s.%c %s %s.%c", left, pair[0], words[gen_roll(g, 7)], right, pair[1]);
    if (gen_chance(g, 3)) {
        ADD(" AND ");
        g->no_patterns = true;
        gen_predicate(g, right, 0);
        g->no_patterns = false;
    }
}

static const char *
query_join(struct gen *g)
{
    static const char *const kinds[] = { "JOIN",       "JOIN",       "LEFT JOIN", "CROSS JOIN",
                                         "INNER JOIN", "RIGHT JOIN", "FULL JOIN" };
    const uint32_t kind = gen_roll(g, sqlite3_libversion_number() < 3039000 ? 5 : 7);

    ADD("SELECT %sx.id, y.id, x.s, y.n, y.r", gen_chance(g, 4) ? "DISTINCT " : "");
    add_from(g, "x");
    ADD(" %s %s AS y ON ", kinds[kind], gen_table(g, -1));
    add_on(g, "x", "y");
    if (kind < 5) /* SQLite 3.40 gives rows of a FULL JOIN twice for some WHERE with OR */
        add_where(g, gen_chance(g, 3) ? "y" : "x");
    return "IITTR";
}

static const char *
query_many_tables(struct gen *g)
{
    const bool four = gen_chance(g, 3);

    if (gen_chance(g, 2)) {
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
        ADD(" %sJOIN %s AS z ON ", gen_chance(g, 2) ? "LEFT " : "", gen_table(g, -1));
        add_on(g, "y", "z");
        ADD(" WHERE x.id < %u AND ", gen_roll(g, 25));
        gen_predicate(g, gen_chance(g, 3) ? "z" : "x", 0);
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
    const char column = gen_one_of(g, all);

    ADD("SELECT %s(%c)", gen_chance(g, 2) ? "min" : "max", column);
    add_from(g, "x");
    add_where(g, "x");
    types[0] = type_of(column);
    types[1] = '\0';
    return types;
}

static const char *
query_group(struct gen *g, char types[GEN_TYPES_BYTES])
{
    const char by = gen_one_of(g, all), second = gen_one_of(g, all);

    ADD("SELECT %c, %c, count(*), sum(i), max(r), min(s)", by, second);
    add_from(g, "x");
    add_where(g, "x");
    ADD(" GROUP BY %c, %c", by, second);
    if (gen_chance(g, 2))
        ADD(" HAVING %s", gen_chance(g, 2) ? "count(*) > 1" : "sum(i) > 3 OR max(r) IS NULL");
    (void)snprintf(types, GEN_TYPES_BYTES, "%c%cIIRT", type_of(by), type_of(second));
    return types;
}

static const char *
query_distinct(struct gen *g, char types[GEN_TYPES_BYTES])
{
    const char a = gen_one_of(g, all), b = gen_one_of(g, all);
    const bool join = gen_chance(g, 3);

    ADD("SELECT DISTINCT x.%c, %s.%c", a, join ? "y" : "x", b);
    add_from(g, "x");
    if (join) {
        ADD(" JOIN %s AS y ON ", gen_table(g, -1));
        add_on(g, "x", "y");
    }
    add_where(g, "x");
    if (gen_chance(g, 2))
        ADD(" ORDER BY 1%s, 2 LIMIT %u OFFSET %u", gen_chance(g, 2) ? " DESC" : "",
            1 + gen_roll(g, 9), gen_roll(g, 3));
    (void)snprintf(types, GEN_TYPES_BYTES, "%c%c", type_of(a), type_of(b));
    return types;
}

static const char *
query_correlated(struct gen *g)
{
    const char column = gen_one_of(g, all);

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
    const char a = gen_one_of(g, all), b = gen_one_of(g, all);
    const uint32_t parts = 2 + gen_roll(g, 2);

    for (uint32_t i = 0; i < parts; i++) {
        if (i > 0)
            ADD(" %s ", words[gen_roll(g, 4)]);
        ADD("SELECT %c, %c", a, b);
        add_from(g, "x");
        add_where(g, "x");
    }
    if (gen_chance(g, 2))
        ADD(" ORDER BY 1%s, 2 LIMIT %u", gen_chance(g, 2) ? " DESC" : "", 1 + gen_roll(g, 9));
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
    const char part = gen_one_of(g, "jsn"), by = gen_one_of(g, all);

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
    if (gen_chance(g, 2)) { /* follow j to the rows whose id it is */
        ADD("WITH RECURSIVE w(id, depth) AS (SELECT id, 0 FROM %s WHERE id = %u UNION SELECT y.id, "
            "depth + 1 FROM w JOIN %s AS y ON y.%s = w.id %% 7 WHERE depth < 5) SELECT depth, "
            "count(*), sum(id) FROM w GROUP BY depth",
            gen_table(g, -1), 1 + gen_roll(g, 20), gen_table(g, -1),
            gen_chance(g, 2) ? "j" : (gen_chance(g, 2) ? "i" : "id"));
        return "III";
    }
    ADD("WITH a AS %s(SELECT i, max(r) AS m, count(*) AS c FROM %s GROUP BY i), b AS (SELECT j, s",
        gen_chance(g, 2) ? "MATERIALIZED " : "", gen_table(g, -1));
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
    const char column = gen_one_of(g, all);

    ADD("SELECT x.id, v.column1, x.r FROM (VALUES(");
    gen_value(g, column, false);
    ADD("), (");
    gen_value(g, column, false);
    ADD("), (");
    gen_value(g, column, true);
    ADD(")) AS v %sJOIN %s AS x ON x.%c = v.column1", gen_chance(g, 2) ? "LEFT " : "",
        gen_table(g, -1), column);
    if (gen_chance(g, 2)) {
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
    static const char *(*const plain[])(
        struct gen *) = { query_lists,         query_ordered,    query_ordered, query_ordered,
                          query_rows,          query_join,       query_join,    query_many_tables,
                          query_aggregate,     query_correlated, query_window,  query_cte,
                          query_from_subquery, query_count,      query_count,   query_values };
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
    *sort = n < 4 ? "nosort" : "rowsort";
}
