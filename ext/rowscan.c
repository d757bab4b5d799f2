/*
 * rowscan.c - reading a table with declared columns: by its primary key, or through an index.
 */
#include "rowscan.h"

#include <string.h>

#include "rowcodec.h"
#include "rowplan.h"
#include "sqlerror.h"

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

/* The two ends of a scan while they are made from the values. */
struct ends {
    struct tx_tuple low, high;
    bool low_open, high_open;
    bool no_row;
};

static const struct tx_key *
path_key(const struct tx_shape *shape, int path)
{
    return path == 0 ? &shape->primary : &shape->indexes[path - 1];
}

/* ---- placing ---- */

static enum fit
read_value(const struct tx_shape *shape, int column, bool may_be_null, sqlite3_value *value,
           struct tx_cell *out)
{
    enum tx_affinity affinity = tx_shape_affinity(shape, column);

    /* A comparison with a REAL or INTEGER column makes a text a number, but no 1 a 1.0. */
    if (tx_affinity_is_numeric(affinity))
        affinity = TX_AFFINITY_NUMERIC;
    else if (affinity == TX_AFFINITY_TEXT && (sqlite3_value_type(value) == SQLITE_INTEGER ||
                                              sqlite3_value_type(value) == SQLITE_FLOAT))
        return FIT_UNSURE;
    if (!tx_cell_read(value, affinity, out))
        return FIT_NOMEM;
    return out->type == SQLITE_NULL && !may_be_null ? FIT_NONE : FIT_EXACT;
}

/* The range below a prefix of values with ends: everything, or all that is not NULL. */
static void
set_prefix(struct ends *ends, bool without_null)
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
set_numeric_texts(struct ends *ends)
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

static int
set_range(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values,
          struct ends *ends)
{
    const struct tx_key *key = path_key(shape, plan->path);
    const int column = key->columns[plan->equal];
    const enum tx_collation collation = tx_shape_collation(shape, column);
    const bool is_last = plan->path == 0 && plan->equal == key->count - 1;
    struct tx_tuple prefix;
    struct tx_cell cell;
    enum fit fit = FIT_EXACT;

    tx_tuple_copy(&prefix, &ends->low);
    set_prefix(ends, true);
    if (plan->low) {
        fit = read_value(shape, column, false, *values++, &cell);
        if (fit == FIT_EXACT) {
            tx_tuple_copy(&ends->low, &prefix);
            add_bound(&ends->low, &cell, collation, is_last, plan->low_open);
            ends->low_open = plan->low_open && is_last;
        }
    }
    if (plan->high && (fit == FIT_EXACT || fit == FIT_UNSURE)) {
        fit = read_value(shape, column, false, *values, &cell);
        if (fit == FIT_EXACT) {
            tx_tuple_copy(&ends->high, &prefix);
            add_bound(&ends->high, &cell, collation, is_last, !plan->high_open);
            ends->high_open = plan->high_open || !is_last;
        }
    }
    ends->no_row = fit == FIT_NONE;
    return fit == FIT_NOMEM ? SQLITE_NOMEM : SQLITE_OK;
}

/* One row at most, or the rows below a prefix that is the whole key. */
static void
set_whole(const struct tx_shape *shape, const struct tx_rowplan *plan, bool has_null,
          struct ends *ends)
{
    if (plan->path == 0 || (shape->indexes[plan->path - 1].unique && !has_null)) {
        tx_tuple_copy(&ends->high, &ends->low);
        ends->no_row = ends->low.too_big;
    } else {
        set_prefix(ends, false);
    }
}

static int
make_ends(const struct tx_shape *shape, const struct tx_rowplan *plan, sqlite3_value **values,
          struct ends *ends)
{
    const struct tx_key *key = path_key(shape, plan->path);
    bool has_null = false;

    /* Not the bytes: they are many. */
    tx_tuple_clear(&ends->low);
    tx_tuple_clear(&ends->high);
    ends->low_open = ends->high_open = ends->no_row = false;
    for (int i = 0; i < plan->equal; i++) {
        const int column = key->columns[i];
        const enum tx_collation collation = tx_shape_collation(shape, column);
        struct tx_cell cell;

        switch (read_value(shape, column, (plan->is_mask >> i & 1) != 0, values[i], &cell)) {
        case FIT_NOMEM:
            return SQLITE_NOMEM;
        case FIT_NONE:
            ends->no_row = true;
            return SQLITE_OK;
        case FIT_UNSURE:
            set_numeric_texts(ends);
            return SQLITE_OK;
        case FIT_EXACT:
            break;
        }
        has_null = has_null || cell.type == SQLITE_NULL;
        if (plan->path == 0 && i == key->count - 1 && cell.type != SQLITE_NULL)
            tx_tuple_add_last(&ends->low, &cell, collation);
        else
            tx_tuple_add(&ends->low, &cell, collation);
    }
    if (ends->low.too_big)
        ends->no_row = true; /* no entry is that long */
    else if (plan->low || plan->high)
        return set_range(shape, plan, values + plan->equal, ends);
    else if (plan->equal == key->count)
        set_whole(shape, plan, has_null, ends);
    else
        set_prefix(ends, false);
    return SQLITE_OK;
}

/* What the ends mean to the store; a cut end is as tx_key_encode says. */
static struct txkv_range
range_of(const struct ends *ends, bool reverse)
{
    return (struct txkv_range){ .lo = { ends->low.data, ends->low.bytes },
                                .hi = { ends->high.data, ends->high.bytes },
                                .lo_open = ends->low_open || ends->low.too_big,
                                .hi_open = ends->high_open && !ends->high.too_big,
                                .descending = reverse };
}

/* A cursor of the store on one of the table's ranges of keys. */
static int
open_walk(struct tx_cursor *cursor, int path, struct txkv_cursor **out)
{
    struct tx_table *table = tx_cursor_table(cursor);
    struct txkv_error err;
    const enum txkv_rc rc = txkv_cursor_open(
        table->link->session, path == 0 ? table->number : table->relation->index_numbers[path - 1],
        out, &err);

    return rc == TXKV_OK ? SQLITE_OK : tx_table_fail(table, rc, &err);
}

int
tx_rowscan_filter(struct tx_cursor *cursor, int number, int count, sqlite3_value **arguments)
{
    struct tx_table *table = tx_cursor_table(cursor);
    struct tx_rowplan plan;
    struct txkv_range range = { .lo_open = false };
    struct txkv_error err;
    struct ends ends;
    enum txkv_rc rc;
    int sql_rc;

    tx_rowplan_unpack(number, &plan);
    cursor->row_found = false;
    cursor->disturbed = false;
    cursor->decoded = false;
    if (count > 0) {
        sql_rc = make_ends(table->relation->shape, &plan, arguments, &ends);
        if (sql_rc != SQLITE_OK || ends.no_row)
            return sql_rc;
        range = range_of(&ends, plan.reverse);
    }
    range.descending = plan.reverse;
    if (cursor->walk != NULL && cursor->path != plan.path) {
        txkv_cursor_close(cursor->walk);
        cursor->walk = NULL;
    }
    if (cursor->walk == NULL) {
        sql_rc = open_walk(cursor, plan.path, &cursor->walk);
        if (sql_rc != SQLITE_OK)
            return sql_rc;
        cursor->path = plan.path;
    }
    rc = txkv_cursor_seek(cursor->walk, &range, &err);
    if (rc == TXKV_OK)
        cursor->row = TX_ROW_LIVE;
    return rc == TXKV_OK || rc == TXKV_NOTFOUND ? SQLITE_OK : tx_table_fail(table, rc, &err);
}

/* ---- the row ---- */

static int
fail_damaged(struct tx_table *table)
{
    return tx_sql_refuse(&table->base.zErrMsg, SQLITE_CORRUPT_VTAB,
                         "%s: a row is damaged: restore the store from a backup", table->name);
}

/* The primary key of the row that the cursor stands on. */
static int
row_key(struct tx_cursor *cursor, struct txkv_bytes *key)
{
    struct tx_table *table = tx_cursor_table(cursor);
    const uint8_t *end, *primary;

    if (cursor->row == TX_ROW_LOST)
        return SQLITE_NOMEM;
    if (cursor->row == TX_ROW_KEPT) {
        *key = cursor->key;
        return SQLITE_OK;
    }
    *key = txkv_cursor_key(cursor->walk);
    if (cursor->path == 0)
        return SQLITE_OK;
    end = key->data + key->bytes;
    primary = tx_tuple_skip(key->data, end, path_key(table->relation->shape, cursor->path)->count);
    if (primary == NULL)
        return fail_damaged(table);
    if (primary == end)
        *key = txkv_cursor_value(cursor->walk);
    else
        *key = (struct txkv_bytes){ primary, (size_t)(end - primary) };
    return key->bytes == 0 ? fail_damaged(table) : SQLITE_OK;
}

/* Places cursor->rows on the row of the entry that walk stands on, unless it is gone. */
static int
look_for_row(struct tx_cursor *cursor, struct txkv_bytes key)
{
    struct tx_table *table = tx_cursor_table(cursor);
    const struct txkv_range range = { .lo = key, .hi = key };
    struct txkv_error err;
    enum txkv_rc rc;

    if (cursor->row_found)
        return SQLITE_OK;
    if (cursor->rows == NULL) {
        const int sql_rc = open_walk(cursor, 0, &cursor->rows);

        if (sql_rc != SQLITE_OK)
            return sql_rc;
    }
    rc = txkv_cursor_seek(cursor->rows, &range, &err);
    cursor->row_found = rc == TXKV_OK;
    return rc == TXKV_OK || rc == TXKV_NOTFOUND ? SQLITE_OK : tx_table_fail(table, rc, &err);
}

static int
find_row(struct tx_cursor *cursor, struct txkv_bytes key)
{
    const int rc = look_for_row(cursor, key);

    return rc == SQLITE_OK && !cursor->row_found ? fail_damaged(tx_cursor_table(cursor)) : rc;
}

int
tx_rowscan_settle(struct tx_cursor *cursor)
{
    struct txkv_error err;
    enum txkv_rc rc = TXKV_OK;

    while (rc == TXKV_OK) {
        struct txkv_bytes key;
        int sql_rc = row_key(cursor, &key);

        if (sql_rc == SQLITE_OK)
            sql_rc = look_for_row(cursor, key);
        if (sql_rc != SQLITE_OK || cursor->row_found)
            return sql_rc;
        rc = txkv_cursor_next(cursor->walk, &err);
    }
    cursor->row = TX_ROW_NONE;
    return rc == TXKV_NOTFOUND ? SQLITE_OK : tx_table_fail(tx_cursor_table(cursor), rc, &err);
}

int
tx_rowscan_row(struct tx_cursor *cursor, struct txkv_bytes *key, struct txkv_bytes *value)
{
    int rc = row_key(cursor, key);

    if (rc != SQLITE_OK)
        return rc;
    if (cursor->row == TX_ROW_KEPT) {
        *value = cursor->value;
    } else if (cursor->path == 0) {
        *value = txkv_cursor_value(cursor->walk);
    } else {
        rc = find_row(cursor, *key);
        if (rc == SQLITE_OK) {
            *key = txkv_cursor_key(cursor->rows);
            *value = txkv_cursor_value(cursor->rows);
        }
    }
    return rc;
}

/* The row's key and columns, found once for all that are asked for. */
static int
decode_row(struct tx_cursor *cursor)
{
    struct tx_table *table = tx_cursor_table(cursor);
    struct txkv_bytes value;
    int rc = SQLITE_OK;

    if (cursor->row == TX_ROW_LIVE && cursor->path == 0) {
        cursor->primary = txkv_cursor_key(cursor->walk);
        value = txkv_cursor_value(cursor->walk);
    } else {
        rc = tx_rowscan_row(cursor, &cursor->primary, &value);
    }
    if (rc != SQLITE_OK)
        return rc;
    cursor->decoded =
        tx_row_find(value.data, value.bytes, cursor->spot_count, cursor->spots, &cursor->values);
    return cursor->decoded ? SQLITE_OK : fail_damaged(table);
}

/* A column, of the primary key, that the row leaves to its key. Not inline, for its room. */
__attribute__((noinline)) static int
give_of_key(struct tx_cursor *cursor, sqlite3_context *context, int place)
{
    struct tx_table *table = tx_cursor_table(cursor);
    struct tx_tuple room;
    struct tx_cell cell;

    if (!tx_tuple_cell(cursor->primary, table->relation->shape->primary.count, place, &room, &cell))
        return fail_damaged(table);
    tx_cell_result(context, &cell);
    return SQLITE_OK;
}

/*
 * A column of the primary key that its bytes alone give: a rowid, or an integer of a column that
 * has no reals that are integers. *given is false when the row is needed.
 */
static int
give_from_key(struct tx_cursor *cursor, sqlite3_context *context, int column, bool *given)
{
    struct tx_table *table = tx_cursor_table(cursor);
    const struct tx_shape *shape = table->relation->shape;
    const struct tx_column *what = &shape->columns[column];
    const uint8_t *p, *end;
    struct txkv_bytes key;
    int64_t integer;
    const int rc = row_key(cursor, &key);

    *given = false;
    if (rc != SQLITE_OK)
        return rc;
    if (shape->row_key == TX_ROW_KEY_ROWID) {
        if (!tx_relation_rowid(key, &integer))
            return fail_damaged(table);
    } else {
        end = key.data + key.bytes;
        p = tx_tuple_skip(key.data, end, what->key_place);
        if (what->key_place < shape->primary.count - 1 || what->affinity < TX_AFFINITY_NUMERIC ||
            what->affinity == TX_AFFINITY_REAL || p == NULL ||
            !tx_key_integer(p, (size_t)(end - p), &integer))
            return SQLITE_OK;
    }
    *given = true;
    sqlite3_result_int64(context, integer);
    return SQLITE_OK;
}

static int
give_hidden_key(struct tx_cursor *cursor, sqlite3_context *context)
{
    struct txkv_bytes key;
    const int rc = row_key(cursor, &key);

    if (rc == SQLITE_OK)
        sqlite3_result_blob(context, key.data, (int)key.bytes, SQLITE_TRANSIENT);
    return rc;
}

/* Not inline, so that the way of a row whose columns have been found is short. */
__attribute__((noinline)) static int
give_rare(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    const struct tx_shape *shape = tx_cursor_table(cursor)->relation->shape;
    bool given = false;
    int rc = SQLITE_OK;

    if (column == shape->column_count)
        return give_hidden_key(cursor, context);
    if (shape->columns[column].key_place >= 0)
        rc = give_from_key(cursor, context, column, &given);
    if (rc == SQLITE_OK && !given && !cursor->decoded)
        rc = decode_row(cursor);
    if (rc != SQLITE_OK || given)
        return rc;
    if (shape->columns[column].key_place >= 0 && tx_row_spot_is_null(cursor->spots[column]))
        return give_of_key(cursor, context, shape->columns[column].key_place);
    tx_row_spot_result(context, cursor->spots[column], cursor->values);
    return SQLITE_OK;
}

int
tx_rowscan_column(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    if (sqlite3_vtab_nochange(context))
        return SQLITE_OK; /* an UPDATE that leaves the column as it is */
    if (column == cursor->rowid_column && cursor->row == TX_ROW_LIVE && cursor->path == 0) {
        const struct txkv_bytes key = txkv_cursor_key(cursor->walk);
        int64_t rowid;

        if (tx_key_integer(key.data, key.bytes, &rowid)) {
            sqlite3_result_int64(context, rowid);
            return SQLITE_OK;
        }
    }
    if (!cursor->decoded || column >= cursor->spot_count ||
        tx_row_spot_is_null(cursor->spots[column]))
        return give_rare(cursor, context, column);
    tx_row_spot_result(context, cursor->spots[column], cursor->values);
    return SQLITE_OK;
}

int
tx_rowscan_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    struct tx_cursor *cursor = (struct tx_cursor *)base;
    struct txkv_bytes key;
    int64_t found;
    const int rc = row_key(cursor, &key);

    *rowid = 0;
    if (rc != SQLITE_OK)
        return rc;
    if (!tx_relation_rowid(key, &found))
        return fail_damaged(tx_cursor_table(cursor));
    *rowid = found;
    return SQLITE_OK;
}
