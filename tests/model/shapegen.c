/*
 * shapegen.c - see shapegen.h.
 */
#include "shapegen.h"

#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "shapeterm.h"

static const struct shape *shape;

static const char *
conflict_word(void)
{
    static const char *const words[] = { "",         "",          " OR REPLACE", " OR IGNORE",
                                         " OR FAIL", " OR ABORT", " OR ROLLBACK" };

    return words[shape_roll(sizeof words / sizeof words[0])];
}

/* Equality on what names one row. */
static void
add_one_row(struct text *t)
{
    text_add(t, " WHERE ");
    if (shape->primary.count == 0) {
        text_add(t, "rowid = %u", 1 + shape_roll(20));
        return;
    }
    for (int i = 0; i < shape->primary.count; i++) {
        text_add(t, "%s%s = ", i == 0 ? "" : " AND ",
                 shape->column[shape->primary.columns[i]].name);
        shape_add_value(t, false);
    }
}

static void
add_order(struct text *t, const char *alias, bool total)
{
    const bool reverse = shape_roll(2) == 0;
    uint32_t columns = shape_roll(3);
    const char *separator = " ORDER BY ";

    if (shape_roll(3) == 0 && shape->indexes > 0) { /* an index's own order */
        const struct shape_key *key = &shape->index[shape_roll((uint32_t)shape->indexes)];

        for (int i = 0; i < key->count; i++, separator = ", ")
            text_add(t, "%s%s%s%s", separator, alias, shape->column[key->columns[i]].name,
                     reverse ? " DESC" : "");
        columns = 0;
    }
    for (; columns > 0; columns--, separator = ", ")
        text_add(t, "%s%s%s%s", separator, alias,
                 shape->column[shape_roll((uint32_t)shape->columns)].name,
                 (shape_roll(4) == 0) != reverse ? " DESC" : "");
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
    const uint32_t rows = shape_roll(3) == 0 ? 2 + shape_roll(4) : 1;
    const bool names = shape->has_rowid && !shape->rowid_is_column && shape_roll(6) == 0;

    if (shape_roll(12) == 0) {
        text_add(t, "INSERT%s INTO t SELECT ", conflict_word());
        for (int i = 0; i < shape->columns; i++) {
            text_add(t, "%s", i == 0 ? "" : ", ");
            if (shape_roll(3) == 0)
                shape_add_value(t, true);
            else
                text_add(t, "n + %u", shape_roll(9));
        }
        text_add(t, " FROM u ORDER BY n LIMIT %u", shape_roll(4));
        return;
    }
    if (shape_roll(15) == 0) {
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
    if (shape_roll(5) == 0)
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
            text_add(t, "%u, ", 1 + shape_roll(20));
        for (int j = 0; j < shape->columns; j++) {
            text_add(t, "%s", j == 0 ? "" : ", ");
            /* Several rows behind one with a wrong type: SQLite's OR FAIL depends on its journal.
             */
            if (shape->rowid_is_column && j == shape->primary.columns[0] &&
                (rows > 1 || shape_roll(8) != 0))
                text_add(t, shape_roll(3) == 0 ? "NULL" : "%u", 1 + shape_roll(20));
            else
                shape_add_value(t, true);
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
    const int column = (int)shape_roll((uint32_t)shape->columns);

    if (is_free(column) && shape_roll(2) == 0) { /* of any rows */
        text_add(t, "UPDATE%s t SET %s = ", conflict_word(), shape->column[column].name);
        if (shape_roll(3) == 0)
            shape_add_column(t);
        else
            shape_add_value(t, true);
        shape_add_where(t);
    } else if (is_free(column) && shape->primary.count > 0 &&
               shape->column[shape->primary.columns[0]].class == CLASS_NUMBER &&
               shape_roll(4) == 0) {
        text_add(t, "UPDATE t SET %s = u.n FROM u WHERE u.n = t.%s", shape->column[column].name,
                 shape->column[shape->primary.columns[0]].name);
    } else if (shape->rowid_is_column && shape_roll(4) == 0) { /* rowids over each other */
        const char *name = shape->column[shape->primary.columns[0]].name;

        text_add(t, "UPDATE t SET %s = %s %c %u WHERE %s > %u", name, name,
                 shape_roll(2) == 0 ? '+' : '-', 1 + shape_roll(3), name, shape_roll(15));
    } else { /* anything, of one row */
        const uint32_t columns = 1 + shape_roll(3);

        text_add(t, "UPDATE%s t SET ", conflict_word());
        for (uint32_t i = 0; i < columns; i++) {
            text_add(t, "%s", i == 0 ? "" : ", ");
            shape_add_column(t);
            text_add(t, " = ");
            if (shape_roll(5) == 0)
                shape_add_column(t);
            else
                shape_add_value(t, true);
        }
        add_one_row(t);
    }
}

static void
make_delete(struct text *t)
{
    text_add(t, "DELETE FROM t");
    if (shape_roll(8) == 0) {
        const char *name = shape->column[shape_roll((uint32_t)shape->columns)].name;

        text_add(t, " WHERE %s IN (SELECT %s FROM t WHERE ", name, name);
        shape_add_term(t);
        text_add(t, " AND ");
        shape_add_term(t);
        text_add(t, ")");
    } else if (shape_roll(3) == 0) {
        add_one_row(t);
    } else {
        text_add(t, " WHERE ");
        shape_add_term(t);
        text_add(t, " AND ");
        shape_add_term(t);
    }
}

/* Two columns whose comparison does not depend on what txkv is not told. */
static void
make_join(struct text *t)
{
    int a = (int)shape_roll((uint32_t)shape->columns),
        b = (int)shape_roll((uint32_t)shape->columns);

    if (shape->column[a].class == CLASS_NONE || shape->column[b].class == CLASS_NONE)
        b = a;
    /* SQLite 3.40's Bloom filter on an automatic index tells 'a' from 'a ' under RTRIM. */
    if (strstr(shape->column[b].collation, "RTRIM") != NULL ||
        strstr(shape->column[a].collation, "RTRIM") != NULL) {
        text_add(t, "SELECT x.*, y.* FROM t AS x, u AS y WHERE x.%s > y.n", shape->column[a].name);
        return;
    }
    text_add(t, "SELECT x.*, y.* FROM t AS x %sJOIN t AS y ON y.%s = x.%s",
             shape_roll(3) == 0 ? "LEFT " : "", shape->column[b].name, shape->column[a].name);
    if (shape_roll(2) == 0) {
        text_add(t, " AND y.%s > ", shape->column[b].name);
        shape_add_value(t, false);
    } else if (shape_roll(2) == 0) { /* a list that is another one for each row */
        text_add(t, " AND y.%s IN (x.%s, ", shape_any_column()->name, shape->column[a].name);
        shape_add_value(t, true);
        text_add(t, ", ");
        shape_add_value(t, true);
        text_add(t, ")");
    }
    if (shape_roll(3) == 0)
        text_add(t, " WHERE y.%s IS NULL",
                 shape->column[shape_roll((uint32_t)shape->columns)].name);
}

static void
make_correlated(struct text *t)
{
    const char *name = shape->column[shape_roll((uint32_t)shape->columns)].name;

    text_add(t, "SELECT x.%s, (SELECT count(*) FROM t AS y WHERE y.%s = x.%s", name, name, name);
    if (shape_roll(2) == 0) {
        text_add(t, " AND y.");
        shape_add_column(t);
        text_add(t, " > ");
        shape_add_value(t, false);
    }
    text_add(t, ") FROM t AS x");
}

static void
make_aggregate(struct text *t, unsigned *flags)
{
    const uint32_t column = shape_roll((uint32_t)shape->columns);

    *flags |= ANSWER_UNORDERED;
    switch (shape_roll(8)) {
    case 5: { /* as the index has it; of equal values any may be the answer */
        const struct shape_column *of = shape_any_column();
        const bool is_exact = of->class != CLASS_NONE && strstr(of->collation, "NOCASE") == NULL &&
                              strstr(of->collation, "RTRIM") == NULL;

        text_add(t, is_exact ? "SELECT %s(%s) FROM t" : "SELECT %s(length(%s)) FROM t",
                 shape_roll(2) == 0 ? "min" : "max", of->name);
        shape_add_where(t);
        break;
    }
    case 6: {
        const char *a = shape_any_column()->name, *b = shape_any_column()->name;

        text_add(t, "SELECT count(*), count(%s) FROM t", a);
        shape_add_where(t);
        text_add(t, " GROUP BY %s, %s", a, b);
        if (shape_roll(2) == 0) { /* SQLite may take the groups' order for it */
            text_add(t, " ORDER BY %s%s, %s%s LIMIT 4", a, shape_roll(2) == 0 ? " DESC" : "", b,
                     shape_roll(2) == 0 ? " DESC" : "");
            *flags &= ~(unsigned)ANSWER_UNORDERED;
        }
        break;
    }
    case 7:
        text_add(t, "SELECT count(*) FROM (SELECT ");
        shape_add_column(t);
        text_add(t, " FROM t");
        shape_add_where(t);
        text_add(t, " LIMIT %u OFFSET %u)", shape_roll(6), shape_roll(4));
        break;
    case 0:
        text_add(t, "SELECT count(*) FROM t");
        shape_add_where(t);
        break;
    case 1:
        text_add(t, "SELECT count(*), count(");
        shape_add_column(t);
        text_add(t, ") FROM t GROUP BY ");
        shape_add_column(t);
        break;
    case 2:
        text_add(t, "SELECT count(*) FROM (SELECT DISTINCT ");
        shape_add_column(t);
        text_add(t, ", ");
        shape_add_column(t);
        text_add(t, " FROM t");
        shape_add_where(t);
        text_add(t, ")");
        break;
    case 3:
        text_add(t, "SELECT max(length(");
        shape_add_column(t);
        text_add(t, ")), min(typeof(");
        shape_add_column(t);
        text_add(t, ")) FROM t");
        shape_add_where(t);
        break;
    default:
        text_add(t, "SELECT count(*) FROM t WHERE %s IN (SELECT %s FROM u WHERE n > %u)",
                 shape->column[column].name,
                 shape->column[column].class == CLASS_TEXT ? "CAST(n AS TEXT)" : "n",
                 shape_roll(5));
    }
}

static void
make_select(struct text *t, unsigned *flags)
{
    const uint32_t kind = shape_roll(10);
    const bool total = shape_roll(3) != 0;

    if (kind == 0) {
        *flags |= ANSWER_UNORDERED;
        if (shape_roll(4) == 0)
            make_correlated(t);
        else
            make_join(t);
        return;
    }
    if (kind <= 2) {
        make_aggregate(t, flags);
        return;
    }
    text_add(t, "SELECT %s", shape->has_rowid && shape_roll(3) == 0 ? "rowid, *" : "*");
    if (shape_roll(4) == 0) {
        t->used -= 1;
        shape_add_column(t);
    }
    text_add(t, " FROM t");
    if (shape_roll(5) == 0)
        add_one_row(t);
    else
        shape_add_where(t);
    add_order(t, "", total);
    if (!total)
        *flags |= ANSWER_UNORDERED;
    else if (shape_roll(3) == 0)
        text_add(t, " LIMIT %u OFFSET %u", shape_roll(6), shape_roll(3));
}

static void
make_control(struct text *t)
{
    static const char *const words[] = { "BEGIN",       "BEGIN",         "COMMIT",
                                         "COMMIT",      "ROLLBACK",      "SAVEPOINT a",
                                         "SAVEPOINT b", "ROLLBACK TO a", "ROLLBACK TO b",
                                         "RELEASE a",   "RELEASE b" };

    text_add(t, "%s", words[shape_roll(sizeof words / sizeof words[0])]);
}

void
shape_statement(struct rng *from, const struct shape *s, struct text *t, unsigned *flags)
{
    uint32_t dice;

    shape = s;
    shape_begin(from, s, false);
    dice = shape_roll(100);
    t->used = 0;
    t->data[0] = '\0';
    *flags = ANSWER_MESSAGE | ANSWER_ROWID;
    shape_begin(from, s, dice < 49);
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
