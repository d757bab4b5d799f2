/*
 * scan.c - reading a table: xOpen, xFilter, xNext, xEof, xColumn, xClose.
 *
 * A statement that looks up one key runs through all six, so none of them prepares, formats or,
 * with the table's spare cursor, allocates.
 */
#include "scan.h"

#include <string.h>

#include "cursor.h"
#include "keycodec.h"
#include "plan.h"
#include "rowcodec.h"
#include "rowplan.h"
#include "rowscan.h"
#include "sqlerror.h"
#include "transaction.h"

static struct tx_cursor *
cursor_of(sqlite3_vtab_cursor *base)
{
    return (struct tx_cursor *)base;
}

int
tx_scan_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    const struct tx_table *table = (struct tx_table *)vtab;

    const uint64_t rows = txkv_row_estimate(table->link->session, table->number);

    if (table->relation != NULL)
        return tx_rowplan_make(info, table, rows);
    tx_plan_make(info, rows);
    return SQLITE_OK;
}

static struct tx_cursor *
new_cursor(const struct tx_table *table)
{
    const struct tx_shape *shape = table->relation == NULL ? NULL : table->relation->shape;
    struct tx_cursor *cursor = sqlite3_malloc(sizeof(*cursor));

    if (cursor == NULL)
        return NULL;
    *cursor = (struct tx_cursor){ .row = TX_ROW_NONE, .rowid_column = -1 };
    cursor->spot_count = shape == NULL ? TX_VALUE_COLUMNS : shape->column_count;
    if (shape != NULL && shape->row_key == TX_ROW_KEY_ROWID)
        cursor->rowid_column = shape->primary.columns[0];
    cursor->spots = sqlite3_malloc64((sqlite3_uint64)cursor->spot_count * sizeof(*cursor->spots));
    if (cursor->spots != NULL)
        return cursor;
    sqlite3_free(cursor);
    return NULL;
}

int
tx_scan_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    struct tx_table *table = (struct tx_table *)vtab;
    struct tx_link *link = table->link;
    struct tx_cursor *cursor = table->spare;

    table->spare = NULL;
    if (cursor == NULL) {
        cursor = new_cursor(table);
        if (cursor == NULL)
            return SQLITE_NOMEM;
    }
    cursor->next = link->cursors;
    cursor->previous = NULL;
    if (cursor->next != NULL)
        cursor->next->previous = cursor;
    link->cursors = cursor;
    *out = &cursor->base;
    return SQLITE_OK;
}

void
tx_scan_free(struct tx_cursor *cursor)
{
    if (cursor == NULL)
        return;
    sqlite3_free(cursor->copy);
    sqlite3_free(cursor->spots);
    sqlite3_free(cursor);
}

int
tx_scan_close(sqlite3_vtab_cursor *base)
{
    struct tx_cursor *cursor = cursor_of(base);
    struct tx_table *table = tx_cursor_table(cursor);

    txkv_cursor_close(cursor->walk);
    cursor->walk = NULL;
    if (cursor->rows != NULL) {
        txkv_cursor_close(cursor->rows);
        cursor->rows = NULL;
    }
    cursor->row = TX_ROW_NONE;
    if (cursor->next != NULL)
        cursor->next->previous = cursor->previous;
    if (cursor->previous != NULL)
        cursor->previous->next = cursor->next;
    else
        table->link->cursors = cursor->next;
    if (table->spare == NULL)
        table->spare = cursor;
    else
        tx_scan_free(cursor);
    return SQLITE_OK;
}

/* ---- placing ---- */

/*
 * Encode one bound of the range into `buffer` and set *open as asked for. False when no row can
 * match: the bound is NULL, or it is a key that is too long to be stored. A bound that is too long
 * is replaced by its first bytes, see tx_key_encode.
 */
static bool
set_bound(enum tx_key_rc rc, const struct tx_keybuf *buffer, bool is_low, struct txkv_bytes *bound,
          bool *open)
{
    if (rc == TX_KEY_NULL)
        return false;
    *bound = (struct txkv_bytes){ buffer->data, buffer->bytes };
    if (rc == TX_KEY_TOOBIG) {
        bound->bytes = TXKV_KEY_BYTES_MAX;
        *open = is_low;
    }
    return true;
}

/* The range of a plan that is not TX_PLAN_EQUAL; *matches is false when no row can be in it. */
static int
plan_range(int plan, sqlite3_value **arguments, struct tx_keybuf buffers[2],
           struct txkv_range *range, bool *matches)
{
    int next = 0;

    *range = (struct txkv_range){ .lo_open = (plan & TX_PLAN_LOW_OPEN) != 0,
                                  .hi_open = (plan & TX_PLAN_HIGH_OPEN) != 0,
                                  .descending = (plan & TX_PLAN_REVERSE) != 0 };
    *matches = true;
    if (plan & TX_PLAN_LOW) {
        const enum tx_key_rc rc = tx_key_encode(arguments[next++], &buffers[0]);

        if (rc == TX_KEY_NOMEM)
            return SQLITE_NOMEM;
        *matches = set_bound(rc, &buffers[0], true, &range->lo, &range->lo_open);
    }
    if (*matches && plan & TX_PLAN_HIGH) {
        const enum tx_key_rc rc = tx_key_encode(arguments[next], &buffers[1]);

        if (rc == TX_KEY_NOMEM)
            return SQLITE_NOMEM;
        *matches = set_bound(rc, &buffers[1], false, &range->hi, &range->hi_open);
    }
    return SQLITE_OK;
}

static int
seek(struct tx_cursor *cursor, const struct txkv_range *range)
{
    struct tx_table *table = tx_cursor_table(cursor);
    struct txkv_error err;
    enum txkv_rc rc = TXKV_OK;

    if (cursor->walk == NULL)
        rc = txkv_cursor_open(table->link->session, table->number, &cursor->walk, &err);
    if (rc == TXKV_OK)
        rc = txkv_cursor_seek(cursor->walk, range, &err);
    if (rc == TXKV_OK)
        cursor->row = TX_ROW_LIVE;
    return rc == TXKV_OK || rc == TXKV_NOTFOUND ? SQLITE_OK : tx_table_fail(table, rc, &err);
}

static int
filter_one(struct tx_cursor *cursor, sqlite3_value *wanted)
{
    struct tx_keybuf key;
    struct txkv_range range = { .lo_open = false };

    switch (tx_key_encode(wanted, &key)) {
    case TX_KEY_NOMEM:
        return SQLITE_NOMEM;
    case TX_KEY_NULL:
    case TX_KEY_TOOBIG:
        return SQLITE_OK; /* no such row */
    case TX_KEY_OK:
        break;
    }
    range.lo = (struct txkv_bytes){ key.data, key.bytes };
    range.hi = range.lo;
    return seek(cursor, &range);
}

int
tx_scan_filter(sqlite3_vtab_cursor *base, int plan, const char *unused, int count,
               sqlite3_value **arguments)
{
    struct tx_cursor *cursor = cursor_of(base);
    struct tx_keybuf buffers[2];
    struct txkv_range range;
    bool matches;
    int rc = tx_transaction_read(tx_cursor_table(cursor));

    (void)unused;
    cursor->row = TX_ROW_NONE;
    if (rc != SQLITE_OK)
        return rc;
    if (tx_cursor_table(cursor)->relation != NULL)
        return tx_rowscan_filter(cursor, plan, count, arguments);
    if (plan == TX_PLAN_EQUAL)
        return filter_one(cursor, arguments[0]);
    rc = plan_range(plan, arguments, buffers, &range, &matches);
    return rc == SQLITE_OK && matches ? seek(cursor, &range) : rc;
}

int
tx_scan_next(sqlite3_vtab_cursor *base)
{
    struct tx_cursor *cursor = cursor_of(base);
    struct txkv_error err;
    const enum txkv_rc rc = txkv_cursor_next(cursor->walk, &err);

    cursor->row = rc == TXKV_OK ? TX_ROW_LIVE : TX_ROW_NONE;
    cursor->row_found = false;
    cursor->decoded = false;
    if (cursor->disturbed && rc == TXKV_OK)
        return tx_rowscan_settle(cursor);
    return rc == TXKV_OK || rc == TXKV_NOTFOUND ? SQLITE_OK
                                                : tx_table_fail(tx_cursor_table(cursor), rc, &err);
}

int
tx_scan_eof(sqlite3_vtab_cursor *base)
{
    return cursor_of(base)->row == TX_ROW_NONE;
}

/* ---- the row ---- */

/* A column of a table without declared columns. Not inline, so that the way of others is short. */
__attribute__((noinline)) static int
give_column(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    const bool kept = cursor->row == TX_ROW_KEPT;
    struct txkv_bytes key, row;

    if (cursor->row == TX_ROW_LOST)
        return SQLITE_NOMEM;
    row = kept ? cursor->value : txkv_cursor_value(cursor->walk);
    if (column > 0) {
        if (tx_row_find(row.data, row.bytes, TX_VALUE_COLUMNS, cursor->spots, &cursor->values)) {
            tx_row_spot_result(context, cursor->spots[column - 1], cursor->values);
            return SQLITE_OK;
        }
    } else {
        if (sqlite3_vtab_nochange(context))
            return SQLITE_OK; /* an UPDATE that leaves the key as it is */
        key = kept ? cursor->key : txkv_cursor_key(cursor->walk);
        if (tx_key_result(context, key.data, key.bytes, tx_row_note(row.data, row.bytes)))
            return SQLITE_OK;
    }
    return tx_sql_refuse(&cursor->base.pVtab->zErrMsg, SQLITE_CORRUPT_VTAB,
                         "%s: a row is damaged: restore the store from a backup",
                         tx_cursor_table(cursor)->name);
}

int
tx_scan_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    struct tx_cursor *cursor = cursor_of(base);

    if (tx_cursor_table(cursor)->relation != NULL)
        return tx_rowscan_column(cursor, context, column);
    return give_column(cursor, context, column);
}

static int
keep_row(struct tx_cursor *cursor)
{
    struct txkv_bytes key, value;
    size_t bytes;

    if (tx_cursor_table(cursor)->relation != NULL) {
        const int rc = tx_rowscan_row(cursor, &key, &value);

        if (rc != SQLITE_OK)
            return rc;
    } else {
        key = txkv_cursor_key(cursor->walk);
        value = txkv_cursor_value(cursor->walk);
    }
    bytes = key.bytes + value.bytes;
    if (bytes > cursor->copy_bytes_max) {
        uint8_t *copy = sqlite3_realloc64(cursor->copy, bytes);

        if (copy == NULL)
            return SQLITE_NOMEM;
        cursor->copy = copy;
        cursor->copy_bytes_max = bytes;
    }
    memcpy(cursor->copy, key.data, key.bytes);
    memcpy(cursor->copy + key.bytes, value.data, value.bytes);
    cursor->key = (struct txkv_bytes){ cursor->copy, key.bytes };
    cursor->value = (struct txkv_bytes){ cursor->copy + key.bytes, value.bytes };
    return SQLITE_OK;
}

int
tx_scan_keep_rows(struct tx_link *link)
{
    int rc = SQLITE_OK;

    for (struct tx_cursor *cursor = link->cursors; cursor != NULL; cursor = cursor->next) {
        int row_rc;

        cursor->disturbed = cursor->walk != NULL && cursor->path > 0;
        if (cursor->row != TX_ROW_LIVE)
            continue;
        row_rc = keep_row(cursor);
        cursor->decoded = false;
        cursor->row = row_rc == SQLITE_OK ? TX_ROW_KEPT : TX_ROW_LOST;
        if (row_rc != SQLITE_OK)
            rc = row_rc;
    }
    return rc;
}
