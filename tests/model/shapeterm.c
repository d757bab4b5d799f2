/*
 * shapeterm.c - see shapeterm.h.
 */
#include "shapeterm.h"

static struct rng *rng;
static const struct shape *shape;
static bool changes_rows;

void
shape_begin(struct rng *from, const struct shape *s, bool changes)
{
    rng = from;
    shape = s;
    changes_rows = changes;
}

uint32_t
shape_roll(uint32_t n)
{
    return rng_below(rng, n);
}

/* ---- values ---- */

void
shape_add_value(struct text *t, bool may_be_null)
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

    if (shape_roll(40) == 0 && !shape->rowid_is_column) {
        /* Beyond what LMDB takes as a key, where a piece of it ends, or two, and longer. */
        static const uint32_t lengths[] = { 500, 509, 510, 1008, 1009, 3000, 65536 };
        const bool as_blob = shape_roll(3) == 0;

        text_add(t, "%sprintf('%%.%uc', '%c') || '%c'%s", as_blob ? "CAST(" : "",
                 lengths[shape_roll(7)] + shape_roll(3), shape_roll(4) == 0 ? 'A' : 'a',
                 (int)('a' + shape_roll(3)), as_blob ? " AS BLOB)" : "");
        return;
    }
    switch (shape_roll(12)) {
    case 0:
        text_add(t, "%s", may_be_null ? "NULL" : "7");
        break;
    case 1:
        /* Behind the largest rowid both choose at random. */
        number = shape->rowid_is_column ? 1 + shape_roll(sizeof odd / sizeof odd[0] - 1)
                                        : shape_roll(sizeof odd / sizeof odd[0]);
        text_add(t, "%s", odd[number]);
        break;
    case 2:
    case 3:
    case 4:
        text_add(t, "'%c'", (shape_roll(2) == 0 ? 'a' : 'A') + (int)shape_roll(5));
        break;
    case 5:
        text_add(t, "'%u'", shape_roll(12));
        break;
    case 6:
        text_add(t, "%u.%u", shape_roll(12), 5 * shape_roll(2));
        break;
    default:
        text_add(t, "%d", (int)shape_roll(14) - 2);
    }
}

void
shape_add_column(struct text *t)
{
    text_add(t, "%s", shape->column[shape_roll((uint32_t)shape->columns)].name);
}

/* ---- terms ---- */

const struct shape_column *
shape_any_column(void)
{
    return &shape->column[shape_roll((uint32_t)shape->columns)];
}

/* Whether txkv compares the two as SQLite does: an untyped column takes no number's affinity. */
static bool
may_compare(const struct shape_column *a, const struct shape_column *b)
{
    return (a->class == CLASS_NONE) == (b->class == CLASS_NONE) || a->class == CLASS_TEXT ||
           b->class == CLASS_TEXT;
}

static void
add_list(struct text *t, const char *name)
{
    text_add(t, "%s %sIN (", name, shape_roll(8) == 0 ? "NOT " : "");
    for (uint32_t i = shape_roll(shape_roll(4) == 0 ? 9 : 3); i > 0; i--) {
        shape_add_value(t, true);
        text_add(t, ", ");
    }
    shape_add_value(t, true);
    text_add(t, ")");
}

/* Without a WHERE SQLite 3.40 takes an index for the list, and sees rows twice or not at all. */
static void
add_inner_where(struct text *t)
{
    text_add(t, " WHERE %s > ", shape_any_column()->name);
    shape_add_value(t, false);
    text_add(t, ")");
}

static void
add_list_query(struct text *t, const struct shape_column *column)
{
    const struct shape_column *other = shape_any_column();

    if (changes_rows) {
        text_add(t, "%s IN (SELECT %s FROM u)", column->name,
                 column->class == CLASS_TEXT ? "CAST(n AS TEXT)" : "+n");
        return;
    }
    if (!may_compare(column, other))
        other = column;
    text_add(t, "%s IN (SELECT %s FROM t", column->name, other->name);
    add_inner_where(t);
}

static void
add_pattern(struct text *t, const char *name)
{
    static const char *const like[] = { "a%", "A%",  "ab%", "%a", "1%",  "1_", "a",
                                        "_%", "-1%", "",    "b!", "c_%", "@%", "\xc3\xa9%" };
    static const char *const glob[] = { "a*", "A*",    "ab*", "*a", "1*", "1?",        "a",
                                        "?*", "[ab]*", "-1*", "",   "b!", "\xc3\xa9*", "~*" };

    switch (shape_roll(4)) {
    case 0:
        text_add(t, "%s GLOB '%s'", name, glob[shape_roll(sizeof glob / sizeof glob[0])]);
        break;
    case 1:
        text_add(t, "%s LIKE '%c!_%%' ESCAPE '!'", name, (int)('a' + shape_roll(3)));
        break;
    case 2: /* what SQLite does not know when it plans */
        text_add(t, "%s %s (SELECT '%c' || '%s')", name, shape_roll(2) == 0 ? "LIKE" : "GLOB",
                 (int)('a' + shape_roll(3)), shape_roll(2) == 0 ? "%" : "*");
        break;
    default:
        text_add(t, "%s LIKE '%s'", name, like[shape_roll(sizeof like / sizeof like[0])]);
    }
}

/* (a, b) compared with two values or the rows of a query. */
static void
add_row_value(struct text *t)
{
    static const char *const compare[] = { "=", "<", "<=", ">", ">=", "IS" };
    const struct shape_column *a = shape_any_column(), *b = shape_any_column();

    text_add(t, "(%s, %s) ", a->name, b->name);
    if (shape_roll(3) == 0 && !shape->rowid_is_column &&
        !changes_rows) { /* SQLite 3.40 loses rows */
        text_add(t, "IN (SELECT %s, %s FROM t", a->name, b->name);
        add_inner_where(t);
        return;
    }
    text_add(t, "%s (", compare[shape_roll(sizeof compare / sizeof compare[0])]);
    shape_add_value(t, false);
    text_add(t, ", ");
    shape_add_value(t, false);
    text_add(t, ")");
}

void
shape_add_term(struct text *t)
{
    static const char *const compare[] = {
        "=", "=", "=", "<", "<=", ">", ">=", "IS", "<>", "IS NOT"
    };
    const struct shape_column *column = &shape->column[shape_roll((uint32_t)shape->columns)];
    const char *name = shape->has_rowid && shape_roll(12) == 0 ? "rowid" : column->name;

    switch (shape_roll(14)) {
    case 0:
        text_add(t, "%s BETWEEN ", name);
        shape_add_value(t, false);
        text_add(t, " AND ");
        shape_add_value(t, false);
        break;
    case 1:
    case 11:
        add_list(t, name);
        break;
    case 12:
        add_list_query(t, column);
        break;
    case 13:
        add_row_value(t);
        break;
    case 2:
        text_add(t, "%s IS %sNULL", name, shape_roll(3) == 0 ? "NOT " : "");
        break;
    case 3:
        add_pattern(t, name);
        break;
    case 4:
        if (column->class != CLASS_NONE) { /* the affinity of the other side counts too */
            const bool as_text = column->class == CLASS_NUMBER || shape_roll(2) == 0;

            /* SQLite takes a TEXT column that is equal to a number for a constant when it sorts. */
            text_add(t, "%s %s CAST(", column->name,
                     as_text ? compare[shape_roll(7)] : compare[3 + shape_roll(4)]);
            shape_add_value(t, false);
            text_add(t, " AS %s)", as_text ? "TEXT" : "INTEGER");
        } else {
            text_add(t, "%s IS NOT ", column->name);
            shape_add_value(t, true);
        }
        break;
    case 5: /* SQLite 3.40 forgets the collation of an equality behind OR */
        text_add(t, "%s %s ", name, compare[3 + shape_roll(4)]);
        shape_add_value(t, false);
        text_add(t, " COLLATE %s", shape_roll(2) == 0 ? "NOCASE" : "BINARY");
        break;
    default:
        text_add(t, "%s %s ", name, compare[shape_roll(sizeof compare / sizeof compare[0])]);
        shape_add_value(t, true);
    }
}

/* Equality or a list on the first columns of a key, and mostly a range of the next: what a plan is
 * made of. */
static void
add_key_terms(struct text *t)
{
    const struct shape_key *key = &shape->primary;
    const char *separator = " WHERE ";
    int equal;

    if (shape->indexes > 0 && (key->count == 0 || shape_roll(2) == 0))
        key = &shape->index[shape_roll((uint32_t)shape->indexes)];
    if (key->count == 0)
        return;
    equal = (int)shape_roll((uint32_t)key->count + 1);
    for (int i = 0; i < key->count && i <= equal; i++, separator = " AND ") {
        const struct shape_column *column = &shape->column[key->columns[i]];

        text_add(t, "%s", separator);
        if (i < equal && shape_roll(2) == 0) {
            add_list(t, column->name);
        } else if (i < equal && shape_roll(4) == 0) {
            add_list_query(t, column);
        } else {
            text_add(t, "%s %s ", column->name, i < equal ? "=" : shape_roll(2) == 0 ? ">=" : "<");
            shape_add_value(t, false);
        }
    }
}

void
shape_add_where(struct text *t)
{
    const uint32_t terms = shape_roll(4);

    if (shape_roll(4) == 0) {
        add_key_terms(t);
        return;
    }

    for (uint32_t i = 0; i < terms; i++) {
        text_add(t, "%s", i == 0 ? " WHERE " : (shape_roll(4) == 0 ? " OR " : " AND "));
        shape_add_term(t);
    }
}
