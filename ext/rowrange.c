/*
 * rowrange.c - the ranges of keys that a plan and its values ask for.
 */
#include "rowrange.h"

#include <string.h>

/* Above a NULL and below every other value, behind the end of the values before. */
static const uint8_t above_null = 0x09;
/* Above every value. */
static const uint8_t above_all = 0xff;

/* What a value of xFilter's is for the column that it is compared with. */
enum fit {
    FIT_EXACT,
    FIT_NONE,   /* no row can match */
    FIT_UNSURE, /* a number and a TEXT column: which texts match depends on where it comes from */
    FIT_NOMEM
};

/* ---- values ---- */

/* Whether several texts of a TEXT column may be equal to a value, a number: see rowplan.h. */
static bool
is_unsure(const struct tx_shape *shape, int column, sqlite3_value *value)
{
    const int type = sqlite3_value_type(value);

    return tx_shape_affinity(shape, column) == TX_AFFINITY_TEXT &&
           (type == SQLITE_INTEGER || type == SQLITE_FLOAT);
}

static enum fit
read_value(const struct tx_shape *shape, int column, bool may_be_null, sqlite3_value *value,
           struct tx_cell *out)
{
    enum tx_affinity affinity = tx_shape_affinity(shape, column);

    if (is_unsure(shape, column, value))
        return FIT_UNSURE;
    /* A comparison with a REAL or INTEGER column makes a text a number, but no 1 a 1.0. */
    if (tx_affinity_is_numeric(affinity))
        affinity = TX_AFFINITY_NUMERIC;
    if (!tx_cell_read(value, affinity, out))
        return FIT_NOMEM;
    return out->type == SQLITE_NULL && !may_be_null ? FIT_NONE : FIT_EXACT;
}

/* Append the value of an equal column, as the path's keys have it. */
static void
add_equal(const struct tx_shape *shape, const struct tx_rowplan *plan, int place,
          const struct tx_cell *cell, struct tx_tuple *out)
{
    const struct tx_key *key = tx_shape_path(shape, plan->path);
    const enum tx_collation collation = tx_shape_collation(shape, key->columns[place]);

    if (plan->path == 0 && place == key->count - 1 && cell->type != SQLITE_NULL)
        tx_tuple_add_last(out, cell, collation);
    else
        tx_tuple_add(out, cell, collation);
}

/* ---- one range ---- */

/* The range below a prefix of values with ends: everything, or all that is not NULL. */
static void
set_prefix(struct tx_ends *ends, bool without_null)
{
    tx_tuple_copy(&ends->high, &ends->low);
    if (without_null)
        tx_tuple_append(&ends->low, &above_null, 1);
    tx_tuple_append(&ends->high, &above_all, 1);
    ends->high_open = true;
}

/* All texts that may be equal to a number: what SQLite reads as one begins with white space, a
 * sign, a point or a digit, all from tab to 9. */
static void
set_numeric_texts(struct tx_ends *ends)
{
    static const struct tx_cell first = { .type = SQLITE_TEXT,
                                          .data = (const uint8_t *)"\t",
                                          .bytes = 1 };
    static const struct tx_cell end = { .type = SQLITE_TEXT,
                                        .data = (const uint8_t *)":",
                                        .bytes = 1 };

    tx_tuple_copy(&ends->high, &ends->low);
    tx_tuple_add_last(&ends->low, &first, TX_COLLATION_BINARY);
    tx_tuple_add_last(&ends->high, &end, TX_COLLATION_BINARY);
    ends->high_open = true;
}

/* One bound of the range behind the prefix that `tuple` holds. */
static void
add_bound(struct tx_tuple *tuple, const struct tx_cell *cell, enum tx_collation collation,
          bool is_last, bool beyond)
{
    if (is_last) {
        tx_tuple_add_last(tuple, cell, collation);
    } else {
        tx_tuple_add(tuple, cell, collation);
        if (beyond)
            tx_tuple_append(tuple, &above_all, 1);
    }
}

/* Whether LIKE and GLOB also take blobs, which stand behind all texts. */
static bool
patterns_match_blobs(void)
{
    return sqlite3_compileoption_used("LIKE_DOESNT_MATCH_BLOBS") == 0;
}

/* The range of the texts that begin as the pattern does, as far as that is plain ASCII. */
static int
set_pattern(const struct tx_rowplan *plan, sqlite3_value *value, enum tx_collation collation,
            struct tx_ends *ends)
{
    const size_t prefix_bytes = ends->low.bytes;
    struct tx_cell cell = { .type = SQLITE_TEXT };
    const char *text;

    set_prefix(ends, true);
    ends->no_row = sqlite3_value_type(value) == SQLITE_NULL;
    if (ends->no_row || sqlite3_value_type(value) == SQLITE_BLOB)
        return SQLITE_OK;
    text = (const char *)sqlite3_value_text(value);
    if (text == NULL)
        return SQLITE_NOMEM;
    cell.data = (const uint8_t *)text;
    cell.bytes = strcspn(text, plan->pattern == TX_LIKE ? "%_" : "*?[");
    for (size_t i = 0; i < cell.bytes; i++)
        if (cell.data[i] >= 0x80)
            cell.bytes = i;
    if (cell.bytes == 0)
        return SQLITE_OK;
    tx_tuple_cut(&ends->low, prefix_bytes);
    tx_tuple_add_last(&ends->low, &cell, collation);
    if (!patterns_match_blobs()) {
        tx_tuple_copy(&ends->high, &ends->low);
        if (!ends->high.no_memory)
            ends->high.data[ends->high.bytes - 1]++; /* a letter of ASCII */
    }
    return SQLITE_OK;
}

/*
 * Whether blobs may match what made this upper bound: SQLite gives LIKE 'ab%' on a NOCASE column as
 * a range of texts.
 */
static bool
may_match_blobs(const struct tx_rowplan *plan, enum tx_collation collation,
                const struct tx_cell *high)
{
    return plan->low && !plan->low_open && plan->high_open && collation == TX_COLLATION_NOCASE &&
           high->type == SQLITE_TEXT && sqlite3_compileoption_used("LIKE_DOESNT_MATCH_BLOBS") == 0;
}

static int
set_range(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values,
          struct tx_ends *ends)
{
    const struct tx_key *key = tx_shape_path(shape, plan->path);
    const int column = key->columns[plan->equal];
    const enum tx_collation collation = tx_shape_collation(shape, column);
    const bool is_last = plan->path == 0 && plan->equal == key->count - 1;
    const size_t prefix_bytes = ends->low.bytes;
    struct tx_cell cell;
    enum fit fit = FIT_EXACT;

    set_prefix(ends, true);
    if (tx_ends_lack_memory(ends))
        return SQLITE_NOMEM;
    if (plan->low) {
        fit = read_value(shape, column, false, *values++, &cell);
        if (fit == FIT_EXACT) {
            tx_tuple_cut(&ends->low, prefix_bytes);
            add_bound(&ends->low, &cell, collation, is_last, plan->low_open);
            ends->low_open = plan->low_open && is_last;
        }
    }
    if (plan->high && (fit == FIT_EXACT || fit == FIT_UNSURE)) {
        fit = read_value(shape, column, false, *values, &cell);
        if (fit == FIT_EXACT && !may_match_blobs(plan, collation, &cell)) {
            tx_tuple_cut(&ends->high, prefix_bytes);
            add_bound(&ends->high, &cell, collation, is_last, !plan->high_open);
            ends->high_open = plan->high_open || !is_last;
        }
    }
    ends->no_row = fit == FIT_NONE;
    return fit == FIT_NOMEM ? SQLITE_NOMEM : SQLITE_OK;
}

/* What stands behind the equal columns, whose values ends->low holds. */
static int
set_tail(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values,
         bool has_null, struct tx_ends *ends)
{
    const struct tx_key *key = tx_shape_path(shape, plan->path);

    if (plan->pattern != TX_NO_PATTERN)
        return set_pattern(plan, *values, tx_shape_collation(shape, key->columns[plan->equal]),
                           ends);
    if (plan->low || plan->high || plan->not_null)
        return set_range(shape, plan, values, ends);
    if (plan->equal == key->count && (plan->path == 0 || (key->unique && !has_null)))
        tx_tuple_copy(&ends->high, &ends->low); /* one row at most */
    else
        set_prefix(ends, false);
    return SQLITE_OK;
}

/* The values of the equal columns, up to one that is unsure, or a list beside such a one. */
static int
set_equal(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values,
          struct tx_ends *ends, bool *has_null)
{
    const struct tx_key *key = tx_shape_path(shape, plan->path);
    bool stopped = false;

    for (int i = 0; i < plan->equal; i++) {
        struct tx_cell cell;
        enum fit fit;

        if (plan->kind[i] == TX_IN) {
            if (!stopped)
                set_prefix(ends, true);
            stopped = true;
            continue;
        }
        fit = read_value(shape, key->columns[i], plan->kind[i] == TX_IS, values[i], &cell);
        if (fit == FIT_NOMEM)
            return SQLITE_NOMEM;
        ends->no_row = ends->no_row || fit == FIT_NONE;
        if (fit == FIT_UNSURE) {
            if (!stopped)
                set_numeric_texts(ends);
            ends->unsure |= 1u << i;
            stopped = true;
        } else if (fit == FIT_EXACT && !stopped) {
            *has_null = *has_null || cell.type == SQLITE_NULL;
            add_equal(shape, plan, i, &cell, &ends->low);
        }
    }
    return SQLITE_OK;
}

/* ---- lists ---- */

/* One value of a list; *fit is set when it is not an exact one. */
static int
add_value(struct tx_lists *lists, const struct tx_shape *shape, const struct tx_rowplan *plan,
          sqlite3_value *value, enum fit *fit)
{
    const int place = tx_lists_count(lists);
    struct tx_tuple tuple;
    struct tx_cell cell;
    int rc;

    *fit = read_value(shape, tx_shape_path(shape, plan->path)->columns[place],
                      plan->kind[place] == TX_IS, value, &cell);
    if (*fit == FIT_NOMEM)
        return SQLITE_NOMEM;
    if (*fit != FIT_EXACT)
        return SQLITE_OK;
    tx_tuple_init(&tuple);
    add_equal(shape, plan, place, &cell, &tuple);
    rc = tuple.too_big ? SQLITE_OK : tx_lists_add(lists, &tuple); /* no entry is that long */
    tx_tuple_free(&tuple);
    return rc;
}

/* The values of the next equal column; *sure is false when one of them is not. */
static int
add_list(struct tx_lists *lists, const struct tx_shape *shape, const struct tx_rowplan *plan,
         sqlite3_value *value, bool *sure)
{
    sqlite3_value *item;
    enum fit fit;
    int rc;

    *sure = true;
    if (plan->kind[tx_lists_count(lists)] != TX_IN)
        return add_value(lists, shape, plan, value, &fit);
    for (rc = sqlite3_vtab_in_first(value, &item); rc == SQLITE_OK && item != NULL;
         rc = sqlite3_vtab_in_next(value, &item)) {
        rc = add_value(lists, shape, plan, item, &fit);
        if (rc != SQLITE_OK)
            return rc;
        *sure = *sure && fit != FIT_UNSURE;
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
make_lists(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values,
           struct tx_lists **out)
{
    bool has_null = false;
    int rc = tx_lists_begin(out);

    for (int i = 0; rc == SQLITE_OK && i < plan->equal; i++) {
        bool sure;

        rc = add_list(*out, shape, plan, values[i], &sure);
        if (rc == SQLITE_OK && !sure) { /* all of the column that is not NULL; SQLite checks */
            set_prefix(tx_lists_tail(*out), true);
            return SQLITE_OK;
        }
        if (rc == SQLITE_OK)
            tx_lists_close(*out);
        has_null =
            has_null || (plan->kind[i] == TX_IS && sqlite3_value_type(values[i]) == SQLITE_NULL);
    }
    return rc != SQLITE_OK
               ? rc
               : set_tail(shape, plan, values + plan->equal, has_null, tx_lists_tail(*out));
}

/* Whether there are lists, and they are the way: beside a value that is unsure they are not. */
static bool
needs_lists(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values)
{
    const struct tx_key *key = tx_shape_path(shape, plan->path);
    bool has_list = false;

    for (int i = 0; i < plan->equal; i++) {
        if (plan->kind[i] == TX_IN)
            has_list = true;
        else if (is_unsure(shape, key->columns[i], values[i]))
            return false;
    }
    return has_list;
}

/* ---- for callers ---- */

int
tx_rowrange_make(const struct tx_shape *shape, const struct tx_rowplan *plan,
                 sqlite3_value **values, struct tx_ends *ends, struct tx_lists **lists,
                 bool *has_lists)
{
    bool has_null = false;
    int rc;

    *has_lists = needs_lists(shape, plan, values);
    if (*has_lists) {
        rc = make_lists(shape, plan, values, lists);
        return rc == SQLITE_OK && tx_ends_lack_memory(tx_lists_tail(*lists)) ? SQLITE_NOMEM : rc;
    }
    tx_ends_clear(ends);
    rc = set_equal(shape, plan, values, ends, &has_null);
    if (rc == SQLITE_OK && !ends->no_row && ends->unsure == 0) {
        ends->no_row = ends->low.too_big; /* no entry is that long */
        if (!ends->no_row)
            rc = set_tail(shape, plan, values + plan->equal, has_null, ends);
    }
    return rc == SQLITE_OK && tx_ends_lack_memory(ends) ? SQLITE_NOMEM : rc;
}

struct txkv_range
tx_rowrange_of(const struct tx_ends *ends, bool reverse)
{
    /* A cut end is as tx_key_encode says; an end without bytes is that of the table. */
    return (struct txkv_range){
        .lo = { ends->low.bytes == 0 ? NULL : ends->low.data, ends->low.bytes },
        .hi = { ends->high.bytes == 0 ? NULL : ends->high.data, ends->high.bytes },
        .lo_open = ends->low_open || ends->low.too_big,
        .hi_open = ends->high_open && !ends->high.too_big,
        .descending = reverse,
        .stay = true
    };
}
