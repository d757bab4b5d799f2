/*
 * rowpack.c - a plan as one number, for xFilter, and in words, for EXPLAIN QUERY PLAN.
 *
 * The number is one in a mixed radix, from the lowest digit on: the path, the equal columns, the
 * direction, the bounds, merge, and the kind of each equal column.
 */
#include "rowplan.h"

enum {
    PATHS = TX_INDEXES_MAX + 1,

    /* The digit of the bounds: 3 * low + high, each none, closed or open; or one of these. */
    NOT_NULL = 9,
    PATTERN = 9, /* and the kind of pattern */
    BOUNDS = 12
};

_Static_assert(59049 == 3 * 3 * 3 * 3 * 3 * 3 * 3 * 3 * 3 * 3 && TX_KEY_COLUMNS_MAX == 10 &&
                   59049LL * 2 * BOUNDS * 2 * (TX_KEY_COLUMNS_MAX + 1) * PATHS < 0x7fffffffLL,
               "a plan must fit an int");

static unsigned
pack(unsigned number, unsigned count, unsigned part)
{
    return number * count + part;
}

static unsigned
unpack(unsigned *number, unsigned count)
{
    const unsigned part = *number % count;

    *number /= count;
    return part;
}

static unsigned
bounds_of(const struct tx_rowplan *plan)
{
    if (plan->not_null)
        return NOT_NULL;
    if (plan->pattern != TX_NO_PATTERN)
        return PATTERN + plan->pattern;
    return 3 * ((unsigned)plan->low + plan->low_open) + plan->high + plan->high_open;
}

static void
set_bounds(unsigned bounds, struct tx_rowplan *out)
{
    out->not_null = bounds == NOT_NULL;
    out->pattern = bounds > PATTERN ? (enum tx_rowplan_pattern)(bounds - PATTERN) : TX_NO_PATTERN;
    if (bounds >= NOT_NULL)
        bounds = 0;
    out->low = bounds / 3 > 0;
    out->low_open = bounds / 3 == 2;
    out->high = bounds % 3 > 0;
    out->high_open = bounds % 3 == 2;
}

int
tx_rowplan_pack(const struct tx_rowplan *plan)
{
    unsigned number = 0;

    for (int i = TX_KEY_COLUMNS_MAX - 1; i >= 0; i--)
        number = pack(number, TX_KINDS, i < plan->equal ? plan->kind[i] : TX_EQUALS);
    number = pack(number, 2, plan->merge);
    number = pack(number, BOUNDS, bounds_of(plan));
    number = pack(number, 2, plan->reverse);
    number = pack(number, TX_KEY_COLUMNS_MAX + 1, (unsigned)plan->equal);
    return (int)pack(number, PATHS, (unsigned)plan->path);
}

void
tx_rowplan_unpack(int packed, struct tx_rowplan *out)
{
    unsigned number = (unsigned)packed;

    out->path = (int)unpack(&number, PATHS);
    out->equal = (int)unpack(&number, TX_KEY_COLUMNS_MAX + 1);
    out->reverse = unpack(&number, 2) != 0;
    set_bounds(unpack(&number, BOUNDS), out);
    out->merge = unpack(&number, 2) != 0;
    out->covering = false;
    for (int i = 0; i < out->equal; i++)
        out->kind[i] = (enum tx_rowplan_kind)unpack(&number, TX_KINDS);
}

static void
append_term(sqlite3_str *out, const struct tx_shape *shape, int column, const char *compare,
            int *terms)
{
    sqlite3_str_appendf(out, "%s%s%s", *terms == 0 ? " (" : " AND ",
                        tx_shape_column_name(shape, column), compare);
    ++*terms;
}

static void
append_path(sqlite3_str *out, const struct tx_rowplan *plan, const struct tx_shape *shape)
{
    const struct tx_key *key = &shape->indexes[plan->path - 1];

    sqlite3_str_appendf(out, "%s %s(", plan->covering ? " COVERING" : "",
                        key->unique ? "UNIQUE" : "INDEX");
    for (int i = 0; i < key->count; i++)
        sqlite3_str_appendf(out, "%s%s", i == 0 ? "" : ", ",
                            tx_shape_column_name(shape, key->columns[i]));
    sqlite3_str_appendchar(out, 1, ')');
}

/* "SEARCH users INDEX(age, name) (age=? AND name>?) DESC SNAPSHOT": SNAPSHOT is where every row
 * comes from. */
char *
tx_rowplan_words(const struct tx_rowplan *plan, const struct tx_shape *shape, const char *table)
{
    static const char *const equals[] = {
        [TX_EQUALS] = "=?", [TX_IS] = " IS ?", [TX_IN] = " IN ?"
    };
    const struct tx_key *key = plan->path == 0 ? &shape->primary : &shape->indexes[plan->path - 1];
    const bool is_search = plan->equal > 0 || bounds_of(plan) != 0;
    const int column = plan->equal < key->count ? key->columns[plan->equal] : 0;
    sqlite3_str *out = sqlite3_str_new(NULL);
    int terms = 0;

    sqlite3_str_appendf(out, "%s %s", is_search ? "SEARCH" : "SCAN", table);
    if (plan->path > 0)
        append_path(out, plan, shape);
    else if (is_search)
        sqlite3_str_appendall(out, " KEY");
    for (int i = 0; i < plan->equal; i++)
        append_term(out, shape, key->columns[i], equals[plan->kind[i]], &terms);
    if (plan->low)
        append_term(out, shape, column, plan->low_open ? ">?" : ">=?", &terms);
    if (plan->high)
        append_term(out, shape, column, plan->high_open ? "<?" : "<=?", &terms);
    if (plan->not_null)
        append_term(out, shape, column, " IS NOT NULL", &terms);
    if (plan->pattern != TX_NO_PATTERN)
        append_term(out, shape, column, plan->pattern == TX_LIKE ? " LIKE ?" : " GLOB ?", &terms);
    sqlite3_str_appendf(out, "%s%s SNAPSHOT", terms > 0 ? ")" : "", plan->reverse ? " DESC" : "");
    return sqlite3_str_finish(out);
}
