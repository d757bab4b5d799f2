/*
 * shapegen.c - see shapegen.h.
 */
#include "shapegen.h"

#include <stdio.h>
#include <string.h>

#include "answer.h"

static struct rng *rng;
static const struct shape *shape;

static uint32_t
roll(uint32_t n)
{
    return rng_below(rng, n);
}

/* ---- values ---- */

static void
add_value(struct text *t, bool may_be_null)
{
    static const char *const odd[] = { "9223372036854775807",
                                       "9007199254740993",
                                       "-0.0",
                                       "1e300",
                                       "'1.0'",
                                       "' 3'",
                                       "'03'",
                                       "'1e1'",
                                       "x''",
                                       "x'00'",
                                       "x'6100'",
                                       "x'61'",
                                       "''",
                                       "'a '",
                                       "'a  '",
                                       "'\xc3\xa9'",
                                       "'!'",
                                       "'~'" };
    size_t number;

    switch (roll(12)) {
    case 0:
        text_add(t, "%s", may_be_null ? "NULL" : "7");
        break;
    case 1:
        /* Behind the largest rowid both choose at random. */
        number = shape->rowid_is_column ? 1 + roll(sizeof odd / sizeof odd[0] - 1)
                                        : roll(sizeof odd / sizeof odd[0]);
        text_add(t, "%s", odd[number]);
        break;
    case 2:
    case 3:
    case 4:
        text_add(t, "'%c'", (roll(2) == 0 ? 'a' : 'A') + (int)roll(5));
        break;
    case 5:
        text_add(t, "'%u'", roll(12));
        break;
    case 6:
        text_add(t, "%u.%u", roll(12), 5 * roll(2));
        break;
    default:
        text_add(t, "%d", (int)roll(14) - 2);
    }
}

static void
add_column(struct text *t)
{
    text_add(t, "%s", shape->column[roll((uint32_t)shape->columns)].name);
}

static const char *
conflict_word(void)
{
    static const char *const words[] = { "",         "",          " OR REPLACE", " OR IGNORE",
                                         " OR FAIL", " OR ABORT", " OR ROLLBACK" };

    return words[roll(sizeof words / sizeof words[0])];
}

/* ---- terms ---- */

/*
 * No COLLATE in terms, for now. SQLite 3.40 makes one IN of "c = 'a' COLLATE NOCASE OR c = 'b'
 * COLLATE NOCASE", and loses the collation: with an index on c it finds fewer rows, on native
 * tables and on txkv tables alike.
 */
static bool no_collations;

static void
add_term(struct text *t)
{
    static const char *const compare[] = {
        "=", "=", "=", "<", "<=", ">", ">=", "IS", "<>", "IS NOT"
    };
    const struct shape_column *column = &shape->column[roll((uint32_t)shape->columns)];
    const char *name = shape->has_rowid && roll(12) == 0 ? "rowid" : column->name;

    switch (roll(11)) {
    case 0:
        text_add(t, "%s BETWEEN ", name);
        add_value(t, false);
        text_add(t, " AND ");
        add_value(t, false);
        break;
    case 1:
        text_add(t, "%s IN (", name);
        for (uint32_t i = roll(3); i > 0; i--) {
            add_value(t, true);
            text_add(t, ", ");
        }
        add_value(t, true);
        text_add(t, ")");
        break;
    case 2:
        text_add(t, "%s IS %sNULL", name, roll(3) == 0 ? "NOT " : "");
        break;
    case 3:
        text_add(t, "%s %s '%c%s'", name, roll(2) == 0 ? "LIKE" : "GLOB", (int)('a' + roll(3)),
                 roll(2) == 0 ? "%" : "*");
        break;
    case 4:
        if (column->class != CLASS_NONE) { /* the affinity of the other side counts too */
            const bool as_text = column->class == CLASS_NUMBER || roll(2) == 0;

            /* SQLite takes a TEXT column that is equal to a number for a constant when it sorts. */
            text_add(t, "%s %s CAST(", column->name,
                     as_text ? compare[roll(7)] : compare[3 + roll(4)]);
            add_value(t, false);
            text_add(t, " AS %s)", as_text ? "TEXT" : "INTEGER");
        } else {
            text_add(t, "%s IS NOT ", column->name);
            add_value(t, true);
        }
        break;
    case 5:
        text_add(t, "%s %s ", name, compare[roll(7)]);
        add_value(t, false);
        if (!no_collations)
            text_add(t, " COLLATE %s", roll(2) == 0 ? "NOCASE" : "BINARY");
        break;
    default:
        text_add(t, "%s %s ", name, compare[roll(sizeof compare / sizeof compare[0])]);
        add_value(t, true);
    }
}

static void
add_where(struct text *t)
{
    const uint32_t terms = roll(4);
    const bool has_or = roll(3) == 0;

    no_collations = has_or;
    for (uint32_t i = 0; i < terms; i++) {
        text_add(t, "%s", i == 0 ? " WHERE " : (has_or && roll(2) == 0 ? " OR " : " AND "));
        add_term(t);
    }
    no_collations = false;
}

/* Equality on what names one row. */
static void
add_one_row(struct text *t)
{
    text_add(t, " WHERE ");
    if (shape->primary.count == 0) {
        text_add(t, "rowid = %u", 1 + roll(20));
        return;
    }
    for (int i = 0; i < shape->primary.count; i++) {
        text_add(t, "%s%s = ", i == 0 ? "" : " AND ",
                 shape->column[shape->primary.columns[i]].name);
        add_value(t, false);
    }
}

static void
add_order(struct text *t, const char *alias, bool total)
{
    const bool reverse = roll(2) == 0;
    uint32_t columns = roll(3);
    const char *separator = " ORDER BY ";

    if (roll(3) == 0 && shape->indexes > 0) { /* an index's own order */
        const struct shape_key *key = &shape->index[roll((uint32_t)shape->indexes)];

        for (int i = 0; i < key->count; i++, separator = ", ")
            text_add(t, "%s%s%s%s", separator, alias, shape->column[key->columns[i]].name,
                     reverse ? " DESC" : "");
        columns = 0;
    }
    for (; columns > 0; columns--, separator = ", ")
        text_add(t, "%s%s%s%s", separator, alias,
                 shape->column[roll((uint32_t)shape->columns)].name,
                 (roll(4) == 0) != reverse ? " DESC" : "");
    if (!total)
        return;
    if (shape->primary.count == 0)
        text_add(t, "%s%srowid%s", separator, alias, reverse ? " DESC" : "");
    for (int i = 0; i < shape->primary.count; i++, separator = ", ")
        text_add(t, "%s%s%s%s", separator, alias, shape->column[shape->primary.columns[i]].name,
                 reverse ? " DESC" : "");
}

/* ---- statements ---- */

static void
make_insert(struct text *t)
{
    const uint32_t rows = roll(3) == 0 ? 2 + roll(4) : 1;
    const bool names = shape->has_rowid && !shape->rowid_is_column && roll(6) == 0;

    if (roll(12) == 0) {
        text_add(t, "INSERT%s INTO t SELECT ", conflict_word());
        for (int i = 0; i < shape->columns; i++) {
            text_add(t, "%s", i == 0 ? "" : ", ");
            if (roll(3) == 0)
                add_value(t, true);
            else
                text_add(t, "n + %u", roll(9));
        }
        text_add(t, " FROM u ORDER BY n LIMIT %u", roll(4));
        return;
    }
    if (roll(15) == 0) {
        text_add(t, "INSERT%s INTO t SELECT ", conflict_word());
        for (int i = 0; i < shape->columns; i++)
            text_add(t, "%s%s", i == 0 ? "" : ", ",
                     shape->rowid_is_column && i == shape->primary.columns[0]
                         ? "NULL"
                         : shape->column[i].name);
        text_add(t, " FROM t");
        add_order(t, "", true);
        text_add(t, " LIMIT 3");
        return;
    }
    if (roll(5) == 0)
        text_add(t, "REPLACE INTO t");
    else
        text_add(t, "INSERT%s INTO t", conflict_word());
    if (names) {
        text_add(t, "(rowid");
        for (int i = 0; i < shape->columns; i++)
            text_add(t, ", %s", shape->column[i].name);
        text_add(t, ")");
    }
    text_add(t, " VALUES");
    for (uint32_t i = 0; i < rows; i++) {
        text_add(t, "%s(", i == 0 ? "" : ", ");
        if (names)
            text_add(t, "%u, ", 1 + roll(20));
        for (int j = 0; j < shape->columns; j++) {
            text_add(t, "%s", j == 0 ? "" : ", ");
            /* Several rows behind one with a wrong type: SQLite's OR FAIL depends on its journal.
             */
            if (shape->rowid_is_column && j == shape->primary.columns[0] &&
                (rows > 1 || roll(8) != 0))
                text_add(t, roll(3) == 0 ? "NULL" : "%u", 1 + roll(20));
            else
                add_value(t, true);
        }
        text_add(t, ")");
    }
}

static bool
is_free(int column)
{
    if (shape->column[column].not_null)
        return false;
    for (int i = 0; i < shape->primary.count; i++)
        if (shape->primary.columns[i] == column)
            return false;
    for (int k = 0; k < shape->uniques; k++)
        for (int i = 0; i < shape->unique[k].count; i++)
            if (shape->unique[k].columns[i] == column)
                return false;
    return true;
}

static void
make_update(struct text *t)
{
    const int column = (int)roll((uint32_t)shape->columns);

    if (is_free(column) && roll(2) == 0) { /* of any rows */
        text_add(t, "UPDATE%s t SET %s = ", conflict_word(), shape->column[column].name);
        if (roll(3) == 0)
            add_column(t);
        else
            add_value(t, true);
        add_where(t);
    } else if (is_free(column) && shape->primary.count > 0 &&
               shape->column[shape->primary.columns[0]].class == CLASS_NUMBER && roll(4) == 0) {
        text_add(t, "UPDATE t SET %s = u.n FROM u WHERE u.n = t.%s", shape->column[column].name,
                 shape->column[shape->primary.columns[0]].name);
    } else if (shape->rowid_is_column && roll(4) == 0) { /* rowids over each other */
        const char *name = shape->column[shape->primary.columns[0]].name;

        text_add(t, "UPDATE t SET %s = %s %c %u WHERE %s > %u", name, name,
                 roll(2) == 0 ? '+' : '-', 1 + roll(3), name, roll(15));
    } else { /* anything, of one row */
        const uint32_t columns = 1 + roll(3);

        text_add(t, "UPDATE%s t SET ", conflict_word());
        for (uint32_t i = 0; i < columns; i++) {
            text_add(t, "%s", i == 0 ? "" : ", ");
            add_column(t);
            text_add(t, " = ");
            if (roll(5) == 0)
                add_column(t);
            else
                add_value(t, true);
        }
        add_one_row(t);
    }
}

static void
make_delete(struct text *t)
{
    text_add(t, "DELETE FROM t");
    if (roll(8) == 0) {
        const char *name = shape->column[roll((uint32_t)shape->columns)].name;

        text_add(t, " WHERE %s IN (SELECT %s FROM t WHERE ", name, name);
        add_term(t);
        text_add(t, " AND ");
        add_term(t);
        text_add(t, ")");
    } else if (roll(3) == 0) {
        add_one_row(t);
    } else {
        text_add(t, " WHERE ");
        add_term(t);
        text_add(t, " AND ");
        add_term(t);
    }
}

/* Two columns whose comparison does not depend on what txkv is not told. */
static void
make_join(struct text *t)
{
    int a = (int)roll((uint32_t)shape->columns), b = (int)roll((uint32_t)shape->columns);

    if (shape->column[a].class == CLASS_NONE || shape->column[b].class == CLASS_NONE)
        b = a;
    /* SQLite 3.40's Bloom filter on an automatic index tells 'a' from 'a ' under RTRIM. */
    if (strstr(shape->column[b].collation, "RTRIM") != NULL ||
        strstr(shape->column[a].collation, "RTRIM") != NULL) {
        text_add(t, "SELECT x.*, y.* FROM t AS x, u AS y WHERE x.%s > y.n", shape->column[a].name);
        return;
    }
    text_add(t, "SELECT x.*, y.* FROM t AS x %sJOIN t AS y ON y.%s = x.%s",
             roll(3) == 0 ? "LEFT " : "", shape->column[b].name, shape->column[a].name);
    if (roll(2) == 0) {
        text_add(t, " AND y.%s > ", shape->column[b].name);
        add_value(t, false);
    }
    if (roll(3) == 0)
        text_add(t, " WHERE y.%s IS NULL", shape->column[roll((uint32_t)shape->columns)].name);
}

static void
make_correlated(struct text *t)
{
    const char *name = shape->column[roll((uint32_t)shape->columns)].name;

    text_add(t, "SELECT x.%s, (SELECT count(*) FROM t AS y WHERE y.%s = x.%s", name, name, name);
    if (roll(2) == 0) {
        text_add(t, " AND y.");
        add_column(t);
        text_add(t, " > ");
        add_value(t, false);
    }
    text_add(t, ") FROM t AS x");
}

static void
make_aggregate(struct text *t, unsigned *flags)
{
    const uint32_t column = roll((uint32_t)shape->columns);

    *flags |= ANSWER_UNORDERED;
    switch (roll(5)) {
    case 0:
        text_add(t, "SELECT count(*) FROM t");
        add_where(t);
        break;
    case 1:
        text_add(t, "SELECT count(*), count(");
        add_column(t);
        text_add(t, ") FROM t GROUP BY ");
        add_column(t);
        break;
    case 2:
        text_add(t, "SELECT count(*) FROM (SELECT DISTINCT ");
        add_column(t);
        text_add(t, ", ");
        add_column(t);
        text_add(t, " FROM t");
        add_where(t);
        text_add(t, ")");
        break;
    case 3:
        text_add(t, "SELECT max(length(");
        add_column(t);
        text_add(t, ")), min(typeof(");
        add_column(t);
        text_add(t, ")) FROM t");
        add_where(t);
        break;
    default:
        text_add(t, "SELECT count(*) FROM t WHERE %s IN (SELECT %s FROM u WHERE n > %u)",
                 shape->column[column].name,
                 shape->column[column].class == CLASS_TEXT ? "CAST(n AS TEXT)" : "n", roll(5));
    }
}

static void
make_select(struct text *t, unsigned *flags)
{
    const uint32_t kind = roll(10);
    const bool total = roll(3) != 0;

    if (kind == 0) {
        *flags |= ANSWER_UNORDERED;
        if (roll(4) == 0)
            make_correlated(t);
        else
            make_join(t);
        return;
    }
    if (kind <= 2) {
        make_aggregate(t, flags);
        return;
    }
    text_add(t, "SELECT %s", shape->has_rowid && roll(3) == 0 ? "rowid, *" : "*");
    if (roll(4) == 0) {
        t->used -= 1;
        add_column(t);
    }
    text_add(t, " FROM t");
    if (roll(5) == 0)
        add_one_row(t);
    else
        add_where(t);
    add_order(t, "", total);
    if (!total)
        *flags |= ANSWER_UNORDERED;
    else if (roll(3) == 0)
        text_add(t, " LIMIT %u OFFSET %u", roll(6), roll(3));
}

static void
make_control(struct text *t)
{
    static const char *const words[] = { "BEGIN",       "BEGIN",         "COMMIT",
                                         "COMMIT",      "ROLLBACK",      "SAVEPOINT a",
                                         "SAVEPOINT b", "ROLLBACK TO a", "ROLLBACK TO b",
                                         "RELEASE a",   "RELEASE b" };

    text_add(t, "%s", words[roll(sizeof words / sizeof words[0])]);
}

void
shape_statement(struct rng *from, const struct shape *s, struct text *t, unsigned *flags)
{
    uint32_t dice;

    rng = from;
    shape = s;
    dice = roll(100);
    t->used = 0;
    t->data[0] = '\0';
    *flags = ANSWER_MESSAGE | ANSWER_ROWID;
    if (dice < 32)
        make_insert(t);
    else if (dice < 44)
        make_update(t);
    else if (dice < 49)
        make_delete(t);
    else if (dice < 88)
        make_select(t, flags);
    else
        make_control(t);
}
