/*
 * scan.c - reading a table: xOpen, xFilter, xNext, xEof, xColumn, xClose.
 *
 * A statement that looks up one key runs through all six, so none of them prepares, formats or,
 * with the table's spare cursor, allocates.
 */
#include "scan.h"

#include <string.h>

#include "cell.h"
#include "cursor.h"
#include "keycodec.h"
#include "rowcodec.h"
#include "rowmap.h"
#include "rowplan.h"
#include "rowlists.h"
#include "rowscan.h"
#include "rowtype.h"
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
    return tx_rowplan_make(info, (struct tx_table *)vtab);
}

static enum tx_source
source_of(const struct tx_shape *shape, int column)
{
    const struct tx_column *of = &shape->columns[column];

    if (of->key_place < 0)
        return TX_SOURCE_ROW;
    if (of->affinity != TX_AFFINITY_INTEGER && of->affinity != TX_AFFINITY_NUMERIC)
        return TX_SOURCE_ANY;
    return shape->primary.count == 1 ? TX_SOURCE_KEY : TX_SOURCE_PART;
}

static struct tx_cursor *
new_cursor(const struct tx_table *table)
{
    const struct tx_shape *shape = table->relation == NULL ? NULL : table->relation->shape;
    struct tx_cursor *cursor = sqlite3_malloc(sizeof(*cursor));
    int columns;

    if (cursor == NULL)
        return NULL;
    *cursor = (struct tx_cursor){ .row = TX_ROW_NONE, .plan_number = -1 };
    columns = shape == NULL ? TX_VALUE_COLUMNS : shape->column_count;
    tx_ends_init(&cursor->ends);
    cursor->map.spots = sqlite3_malloc64((sqlite3_uint64)columns * sizeof(*cursor->map.spots) +
                                         ((sqlite3_uint64)columns + 1) * sizeof(*cursor->sources));
    if (cursor->map.spots != NULL) {
        cursor->sources = (uint8_t *)(cursor->map.spots + columns);
        for (int i = 0; shape != NULL && i < columns; i++)
            cursor->sources[i] = (uint8_t)source_of(shape, i);
        cursor->sources[columns] = TX_SOURCE_ANY;
        if (shape == NULL) {
            cursor->sources[0] = TX_SOURCE_ANY_KEY;
            cursor->sources[1] = TX_SOURCE_ONLY;
        }
        tx_row_map_init(&cursor->map, cursor->map.spots, columns);
        return cursor;
    }
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
    sqlite3_free(cursor->map.spots);
    tx_lists_free(cursor->lists);
    tx_ends_free(&cursor->ends);
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

int
tx_scan_filter(sqlite3_vtab_cursor *base, int plan, const char *words, int count,
               sqlite3_value **arguments)
{
    struct tx_cursor *cursor = cursor_of(base);
    const int rc = tx_transaction_read(tx_cursor_table(cursor));

    (void)words;
    cursor->row = TX_ROW_NONE;
    cursor->may_update = tx_cursor_table(cursor)->connection->may_update;
    return rc == SQLITE_OK ? tx_rowscan_filter(cursor, plan, count, arguments) : rc;
}

int
tx_scan_next(sqlite3_vtab_cursor *base)
{
    return tx_rowscan_next(cursor_of(base));
}

int
tx_scan_eof(sqlite3_vtab_cursor *base)
{
    return cursor_of(base)->row == TX_ROW_NONE;
}

/* ---- the row ---- */

static int
refuse_damaged(struct tx_cursor *cursor)
{
    return tx_sql_refuse(&cursor->base.pVtab->zErrMsg, SQLITE_CORRUPT_VTAB,
                         "%s: a row is damaged: restore the store from a backup",
                         tx_cursor_table(cursor)->name);
}

/* The two columns of a table without declared columns. */
static int
give_any_key(struct tx_cursor *cursor, sqlite3_context *context, struct txkv_bytes key,
             struct txkv_bytes row)
{
    return tx_key_result(context, key.data, key.bytes, tx_row_note(row.data, row.bytes))
               ? SQLITE_OK
               : refuse_damaged(cursor);
}

/* Not inline, so that each way is short. */
__attribute__((noinline)) static int
give_live_key(struct tx_cursor *cursor, sqlite3_context *context)
{
    const struct txkv_bytes key = txkv_cursor_key(cursor->walk);
    const struct txkv_bytes row = txkv_cursor_value(cursor->walk);

    if (!tx_key_is_text(key.data, key.bytes, tx_row_note(row.data, row.bytes)))
        return give_any_key(cursor, context, key, row);
    tx_text_result(context, key.data + 1, key.bytes - 1);
    return SQLITE_OK;
}

static int
give_key(struct tx_cursor *cursor, sqlite3_context *context)
{
    if (cursor->may_update && sqlite3_vtab_nochange(context))
        return SQLITE_OK; /* an UPDATE that leaves the key as it is */
    return cursor->row == TX_ROW_KEPT ? give_any_key(cursor, context, cursor->key, cursor->value)
                                      : give_live_key(cursor, context);
}

/* A row of one text, as most are: its type says what its length says. False: it is another one, or
 * damaged. */
static inline bool
is_text(struct txkv_bytes row, const uint8_t **text)
{
    uint32_t type;

    *text = tx_row_one_type(row.data, row.bytes, &type);
    return *text != NULL && type == TX_ROW_TYPE_TEXT + 2 * (size_t)(row.data + row.bytes - *text);
}

__attribute__((noinline)) static int
give_any_value(struct tx_cursor *cursor, sqlite3_context *context, struct txkv_bytes row)
{
    if (!tx_row_find_one(row.data, row.bytes, cursor->map.spots, &cursor->map.values))
        return refuse_damaged(cursor);
    tx_row_spot_result(context, cursor->map.spots[0], cursor->map.values);
    return SQLITE_OK;
}

static inline int
give_value(struct tx_cursor *cursor, sqlite3_context *context, struct txkv_bytes row)
{
    const uint8_t *text;

    if (!is_text(row, &text))
        return give_any_value(cursor, context, row);
    tx_text_result(context, text, (size_t)(row.data + row.bytes - text));
    return SQLITE_OK;
}

__attribute__((noinline)) static int
give_live_value(struct tx_cursor *cursor, sqlite3_context *context)
{
    return give_value(cursor, context, txkv_cursor_value(cursor->walk));
}

/* A column for which there is no short way, or not for this row. */
__attribute__((noinline)) static int
give_column(struct tx_cursor *cursor, sqlite3_context *context, int column)
{
    /* Behind a row that had to be kept walk has them again. */
    if (cursor->row == TX_ROW_LIVE)
        tx_cursor_set_ways(cursor);
    if (tx_cursor_table(cursor)->relation != NULL)
        return tx_rowscan_column(cursor, context, column);
    if (cursor->row == TX_ROW_LOST)
        return SQLITE_NOMEM;
    if (column == 0)
        return give_key(cursor, context);
    return cursor->row == TX_ROW_KEPT ? give_value(cursor, context, cursor->value)
                                      : give_live_value(cursor, context);
}

int
tx_scan_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    struct tx_cursor *cursor = cursor_of(base);
    uint8_t source;

    if (cursor->ways == NULL)
        return give_column(cursor, context, column);
    source = cursor->ways[column];
    if (source == TX_SOURCE_ROW)
        return cursor->decoded ? tx_row_result(context, &cursor->map, column)
                               : tx_rowscan_first(cursor, context, column);
    if (source == TX_SOURCE_ONLY)
        return give_live_value(cursor, context);
    if (source == TX_SOURCE_KEY)
        return tx_rowscan_key(cursor, context, column);
    if (source == TX_SOURCE_ANY_KEY)
        return give_live_key(cursor, context);
    if (source == TX_SOURCE_PART)
        return tx_rowscan_part(cursor, context, column);
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
        cursor->ways = NULL;
        cursor->decoded = false;
        cursor->row = row_rc == SQLITE_OK ? TX_ROW_KEPT : TX_ROW_LOST;
        if (row_rc != SQLITE_OK)
            rc = row_rc;
    }
    return rc;
}
