/*
 * rowscan.c - reading a table by its primary key, or through an index.
 */
#include "rowscan.h"

#include <string.h>

#include "rowmap.h"
#include "rowplan.h"
#include "rowrange.h"
#include "sqlerror.h"

/* ---- placing ---- */

/* A cursor of the store on one of the table's ranges of keys. */
static int
open_walk(struct tx_cursor *cursor, int path)
{
    struct tx_table *table = tx_cursor_table(cursor);
    const enum txkv_rc rc = txkv_cursor_open(
        table->link->session, path == 0 ? table->number : table->relation->index_numbers[path - 1],
        &cursor->walk, &cursor->err);

    return rc == TXKV_OK ? SQLITE_OK : tx_table_fail(table, rc, &cursor->err);
}

static int
prepare_walk(struct tx_cursor *cursor, int path)
{
    if (cursor->walk != NULL && cursor->path != path) {
        txkv_cursor_close(cursor->walk);
        cursor->walk = NULL;
    }
    cursor->path = path;
    return cursor->walk == NULL ? open_walk(cursor, path) : SQLITE_OK;
}

/* Sets the cursor's state from what the store answered to a seek or a step. */
static int
arrive(struct tx_cursor *cursor, enum txkv_rc rc)
{
    cursor->row = rc == TXKV_OK ? TX_ROW_LIVE : TX_ROW_NONE;
    cursor->row_found = false;
    cursor->decoded = false;
    return rc == TXKV_OK || rc == TXKV_NOTFOUND
               ? SQLITE_OK
               : tx_table_fail(tx_cursor_table(cursor), rc, &cursor->err);
}

/* To the first row of the lists' next range that has one. */
static enum txkv_rc
next_range(struct tx_cursor *cursor)
{
    enum txkv_rc rc = TXKV_NOTFOUND;

    while (rc == TXKV_NOTFOUND &&
           tx_lists_next(cursor->lists, cursor->plan.reverse, &cursor->ends)) {
        const struct txkv_range range = tx_rowrange_of(&cursor->ends, cursor->plan.reverse);

        if (tx_ends_lack_memory(&cursor->ends)) {
            cursor->err = (struct txkv_error){ .rc = TXKV_NOMEM };
            return TXKV_NOMEM;
        }
        rc = txkv_cursor_seek(cursor->walk, &range, &cursor->err);
    }
    return rc;
}

static enum txkv_rc
next_entry(struct tx_cursor *cursor)
{
    const enum txkv_rc rc = txkv_cursor_next(cursor->walk, &cursor->err);

    return rc == TXKV_NOTFOUND && cursor->has_lists ? next_range(cursor) : rc;
}

/*
 * A number stands for several texts of a column that the order leaves out, as '1' and '1.0' for 1:
 * all entries that may match are looked at, and then visited in the order of what else they have.
 */
static int
merge_texts(struct tx_cursor *cursor)
{
    const struct tx_rowplan *plan = &cursor->plan;
    const struct tx_key *key = tx_shape_path(tx_table_shape(tx_cursor_table(cursor)), plan->path);
    const struct txkv_range range = tx_rowrange_of(&cursor->ends, false);
    const int columns = plan->path == 0 ? key->count - 1 : key->count; /* with an end */
    const unsigned unsure = cursor->ends.unsure;
    enum txkv_rc rc;
    int sql_rc = tx_lists_begin(&cursor->lists);

    if (sql_rc != SQLITE_OK)
        return sql_rc;
    rc = txkv_cursor_seek(cursor->walk, &range, &cursor->err);
    while (rc == TXKV_OK) {
        sql_rc = tx_lists_add_key(cursor->lists, txkv_cursor_key(cursor->walk), unsure, columns);
        if (sql_rc != SQLITE_OK)
            return sql_rc;
        rc = txkv_cursor_next(cursor->walk, &cursor->err);
    }
    if (rc == TXKV_NOTFOUND) {
        tx_lists_sort_keys(cursor->lists);
        cursor->has_lists = true;
        rc = next_range(cursor);
    }
    return arrive(cursor, rc);
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
    primary =
        tx_tuple_skip(key->data, end, tx_shape_path(table->relation->shape, cursor->path)->count);
    if (primary == NULL)
        return fail_damaged(table);
    if (primary == end) /* UNIQUE */
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
    const struct txkv_range range = { .lo = key, .hi = key, .stay = true };
    enum txkv_rc rc;

    if (cursor->row_found)
        return SQLITE_OK;
    rc = cursor->rows != NULL
             ? TXKV_OK
             : txkv_cursor_open_beside(cursor->walk, table->number, &cursor->rows, &cursor->err);
    if (rc == TXKV_OK)
        rc = txkv_cursor_seek(cursor->rows, &range, &cursor->err);
    cursor->row_found = rc == TXKV_OK;
    return rc == TXKV_OK || rc == TXKV_NOTFOUND ? SQLITE_OK
                                                : tx_table_fail(table, rc, &cursor->err);
}

static int
find_row(struct tx_cursor *cursor, struct txkv_bytes key)
{
    const int rc = look_for_row(cursor, key);

    return rc == SQLITE_OK && !cursor->row_found ? fail_damaged(tx_cursor_table(cursor)) : rc;
}

/* Whether the entry that walk stands on is the one that the row of that key, which rows stands on,
 * has in the index. Works in what xUpdate has room for: it does not run now. */
static int
is_entry_of_row(struct tx_cursor *cursor, struct txkv_bytes key, bool *is)
{
    struct tx_table *table = tx_cursor_table(cursor);
    struct tx_relation *relation = table->relation;
    struct tx_row *row = &relation->victim;
    const struct txkv_bytes stands = txkv_cursor_key(cursor->walk);
    const struct tx_tuple *entry = &relation->old_entry;
    const int rc = tx_row_read(row, relation->shape, key, txkv_cursor_value(cursor->rows));

    if (rc != SQLITE_OK)
        return rc == SQLITE_CORRUPT_VTAB ? fail_damaged(table) : rc;
    tx_tuple_clear(&row->key);
    tx_tuple_append(&row->key, key.data, key.bytes);
    (void)tx_relation_entry(relation->shape, cursor->path - 1, row->cells, &row->key,
                            &relation->old_entry);
    *is = entry->bytes == stands.bytes && memcmp(entry->data, stands.data, stands.bytes) == 0;
    return row->key.no_memory || entry->no_memory ? SQLITE_NOMEM : SQLITE_OK;
}

/*
 * Steps over entries whose rows the connection has deleted or changed since the cursor was placed:
 * the store's cursor may have had the next entry in its hands already. Not inline, for its room.
 */
__attribute__((noinline)) static int
settle(struct tx_cursor *cursor)
{
    enum txkv_rc rc = TXKV_OK;

    while (rc == TXKV_OK) {
        struct txkv_bytes key;
        int sql_rc = row_key(cursor, &key);
        bool is_there = true;

        if (sql_rc == SQLITE_OK)
            sql_rc = look_for_row(cursor, key);
        if (sql_rc == SQLITE_OK && cursor->row_found && cursor->path > 0)
            sql_rc = is_entry_of_row(cursor, key, &is_there);
        if (sql_rc != SQLITE_OK || (cursor->row_found && is_there))
            return sql_rc;
        cursor->row_found = false;
        rc = next_entry(cursor);
    }
    cursor->row = TX_ROW_NONE;
    return rc == TXKV_NOTFOUND ? SQLITE_OK
                               : tx_table_fail(tx_cursor_table(cursor), rc, &cursor->err);
}

/* ---- the methods ---- */

int
tx_rowscan_filter(struct tx_cursor *cursor, int number, int count, sqlite3_value **arguments)
{
    const struct tx_shape *shape = tx_table_shape(tx_cursor_table(cursor));
    const struct tx_rowplan *plan = &cursor->plan;
    struct txkv_range range;
    int rc;

    if (cursor->plan_number != number)
        tx_rowplan_unpack(number, &cursor->plan);
    cursor->plan_number = number;
    cursor->disturbed = false;
    cursor->has_lists = false;
    rc = prepare_walk(cursor, plan->path);
    tx_cursor_set_ways(cursor);
    if (rc == SQLITE_OK && count > 0)
        rc = tx_rowrange_make(shape, plan, arguments, &cursor->ends, &cursor->lists,
                              &cursor->has_lists);
    if (rc != SQLITE_OK)
        return rc;
    if (cursor->has_lists)
        return arrive(cursor, next_range(cursor));
    range = (struct txkv_range){ .descending = plan->reverse, .stay = true };
    if (count > 0) {
        if (cursor->ends.no_row)
            return SQLITE_OK;
        if (cursor->ends.unsure != 0 && plan->merge)
            return merge_texts(cursor);
        range = tx_rowrange_of(&cursor->ends, plan->reverse);
    }
    return arrive(cursor, txkv_cursor_seek(cursor->walk, &range, &cursor->err));
}

/* Where walk's range has ended, or the store failed. */
__attribute__((noinline)) static int
leave_range(struct tx_cursor *cursor, enum txkv_rc rc)
{
    int sql_rc;

    if (rc == TXKV_NOTFOUND && cursor->has_lists)
        rc = next_range(cursor);
    sql_rc = arrive(cursor, rc);
    return cursor->disturbed && rc == TXKV_OK ? settle(cursor) : sql_rc;
}

int
tx_rowscan_next(struct tx_cursor *cursor)
{
    const enum txkv_rc rc = txkv_cursor_next(cursor->walk, &cursor->err);

    if (rc != TXKV_OK)
        return leave_range(cursor, rc);
    (void)arrive(cursor, TXKV_OK);
    return cursor->disturbed ? settle(cursor) : SQLITE_OK;
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

/* Where the columns of the row are that has this value, found once for all that are asked for. */
static inline int
decode_value(struct tx_cursor *cursor, struct txkv_bytes value)
{
    cursor->decoded = tx_row_find(value.data, value.bytes, &cursor->map);
    return cursor->decoded ? SQLITE_OK : fail_damaged(tx_cursor_table(cursor));
}

static int
decode_row(struct tx_cursor *cursor)
{
    struct txkv_bytes key, value;
    const int rc = tx_rowscan_row(cursor, &key, &value);

    return rc == SQLITE_OK ? decode_value(cursor, value) : rc;
}

/* A column, of the primary key, that the row leaves to its key. Not inline, for its room. */
__attribute__((noinline)) static int
give_of_key(struct tx_cursor *cursor, sqlite3_context *context, int place)
{
    struct tx_table *table = tx_cursor_table(cursor);
    struct txkv_bytes key;
    struct tx_tuple room;
    struct tx_cell cell;
    int rc = row_key(cursor, &key);

    if (rc != SQLITE_OK)
        return rc;
    tx_tuple_init(&room);
    if (tx_tuple_cell(key, table->relation->shape->primary.count, place, &room, &cell))
        tx_cell_result(context, &cell);
    else
        rc = room.no_memory ? SQLITE_NOMEM : fail_damaged(table);
    tx_tuple_free(&room);
    return rc;
}

/*
 * What a key's bytes say of a column; false when the row has to tell, since they stand for several
 * values: equal numbers of two types, texts that the collation makes one.
 */
static bool
restore(const struct tx_shape *shape, int column, struct tx_cell *cell)
{
    const enum tx_affinity affinity = tx_shape_affinity(shape, column);

    if (cell->type == SQLITE_TEXT)
        return tx_shape_collation(shape, column) == TX_COLLATION_BINARY;
    if (cell->type != SQLITE_INTEGER)
        return true; /* a real that no integer equals, too */
    if (affinity == TX_AFFINITY_REAL) {
        cell->real = (double)cell->integer;
        cell->type = SQLITE_FLOAT;
        return true;
    }
    /* Such a column has no real that an int64 equals, but for this one. */
    return tx_affinity_is_numeric(affinity) && cell->integer != INT64_MIN;
}

/* A value within a key: `at` of the key's `count`. */
struct part {
    struct txkv_bytes key;
    int count, at;
};

/* Gives any part of a key, unless only the row knows the value. */
static int
give_part(struct tx_cursor *cursor, sqlite3_context *context, struct part part, int column,
          bool *given)
{
    struct tx_table *table = tx_cursor_table(cursor);
    struct tx_tuple room;
    struct tx_cell cell;
    int rc = SQLITE_OK;

    tx_tuple_init(&room);
    if (!tx_tuple_cell(part.key, part.count, part.at, &room, &cell))
        rc = room.no_memory ? SQLITE_NOMEM : fail_damaged(table);
    else
        *given = restore(table->relation->shape, column, &cell);
    if (*given)
        tx_cell_result(context, &cell);
    tx_tuple_free(&room);
    return rc;
}

/*
 * A column that the index's entry or the primary key has, which spares fetching the row and finding
 * its columns. *given is false when the row is needed. Not inline, for its room.
 */
__attribute__((noinline)) static int
give_from_keys(struct tx_cursor *cursor, sqlite3_context *context, int column, bool *given)
{
    const struct tx_shape *shape = tx_cursor_table(cursor)->relation->shape;
    const struct tx_key *path = tx_shape_path(shape, cursor->path);
    const enum tx_affinity affinity = tx_shape_affinity(shape, column);
    struct part part = { .count = path->count + (cursor->path > 0), .at = 0 };
    int64_t integer = 0;
    int rc = SQLITE_OK;

    *given = false;
    if (cursor->row != TX_ROW_LIVE || !tx_shape_restores(shape, column))
        return SQLITE_OK;
    part.key = txkv_cursor_key(cursor->walk);
    while (part.at < path->count && path->columns[part.at] != column)
        part.at++;
    if (part.at == path->count) {
        part.at = shape->columns[column].key_place;
        part.count = shape->primary.count;
        if (part.at < 0)
            return SQLITE_OK;
        rc = row_key(cursor, &part.key);
    }
    if (rc != SQLITE_OK)
        return rc;
    *given =
        affinity != TX_AFFINITY_REAL && tx_tuple_integer(part.key, part.count, part.at, &integer);
    if (!*given)
        return give_part(cursor, context, part, column, given);
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

/* A column of any row, wherever it is. */
static int
give_rare(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    const struct tx_shape *shape = tx_cursor_table(cursor)->relation->shape;
    bool given = false;
    int rc = SQLITE_OK;

    if (column == shape->column_count)
        return give_hidden_key(cursor, context);
    if (!cursor->decoded)
        rc = give_from_keys(cursor, context, column, &given);
    if (rc == SQLITE_OK && !given && !cursor->decoded)
        rc = decode_row(cursor);
    if (rc != SQLITE_OK || given)
        return rc;
    if (shape->columns[column].key_place >= 0 &&
        tx_row_spot_is_null(tx_row_spot(&cursor->map, column)))
        return give_of_key(cursor, context, shape->columns[column].key_place);
    return tx_row_result(context, &cursor->map, column);
}

/*
 * The ways of a column. They are not inline, and end in one another's place, so that each saves
 * what it needs alone.
 */

__attribute__((noinline)) int
tx_rowscan_column(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    if (cursor->may_update && sqlite3_vtab_nochange(context))
        return SQLITE_OK; /* an UPDATE that leaves the column as it is */
    return give_rare(cursor, context, column);
}

__attribute__((noinline)) static int
give_first_of_any(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    const int rc = decode_value(cursor, txkv_cursor_value(cursor->walk));

    return rc == SQLITE_OK ? tx_row_result(context, &cursor->map, column) : rc;
}

__attribute__((noinline)) int
tx_rowscan_first(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    const struct txkv_bytes value = txkv_cursor_value(cursor->walk);

    return tx_row_find_result(context, value.data, value.bytes, &cursor->map, column,
                              &cursor->decoded)
               ? SQLITE_OK
               : give_first_of_any(cursor, context, column);
}

__attribute__((noinline)) static int
give_other_key(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    const struct txkv_bytes key = txkv_cursor_key(cursor->walk);

    return tx_key_integer_result(context, key.data, key.bytes)
               ? SQLITE_OK
               : tx_rowscan_column(cursor, context, column);
}

__attribute__((noinline)) int
tx_rowscan_key(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    const struct txkv_bytes key = txkv_cursor_key(cursor->walk);
    int64_t integer;

    if (!tx_key_quick_integer(key.data, key.bytes, &integer))
        return give_other_key(cursor, context, column);
    sqlite3_result_int64(context, integer);
    return SQLITE_OK;
}

__attribute__((noinline)) int
tx_rowscan_part(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    const struct tx_shape *shape = tx_cursor_table(cursor)->relation->shape;

    return tx_tuple_integer_result(context, txkv_cursor_key(cursor->walk), shape->primary.count,
                                   shape->columns[column].key_place)
               ? SQLITE_OK
               : tx_rowscan_column(cursor, context, column);
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
