/*
 * reindex.c - making the indexes of a store anew from the rows.
 *
 * A rescue brings back rows and entries by themselves, so that either can be missing. The entries
 * say nothing that the rows do not: the indexes' store tables are dropped, and filled from a walk
 * over the rows in transactions of some thousands.
 */
#include "reindex.h"

#include <string.h>

#include "relation.h"

enum { ROWS_MAX = 2000 };

struct reindex {
    struct txkv *store;
    struct txkv_session *reader, *writer;
    struct tx_shape *shape;
    struct tx_row row;
    struct tx_tuple entry;
    uint32_t indexes[TX_INDEXES_MAX];
    uint64_t waiting; /* rows in the writer's transaction */
    struct tx_reindex_report *report;
    struct txkv_error *err;
};

/* Empty store tables for the indexes of the table of that name. */
static enum txkv_rc
renew_indexes(struct reindex *r, const char *table)
{
    enum txkv_rc rc = TXKV_OK;

    for (int i = 0; i < r->shape->index_count && rc == TXKV_OK; i++) {
        char *name = tx_relation_stored_name(table, i + 1);
        uint32_t old;

        if (name == NULL)
            return TXKV_NOMEM;
        rc = txkv_table(r->store, name, NULL, false, &old, r->err);
        if (rc == TXKV_OK)
            rc = txkv_table_drop(r->store, &old, 1, r->err);
        if (rc == TXKV_OK || rc == TXKV_SCHEMA)
            rc = txkv_table(r->store, name, "index", true, &r->indexes[i], r->err);
        r->report->indexes += rc == TXKV_OK;
        sqlite3_free(name);
    }
    return rc;
}

static enum txkv_rc
commit(struct reindex *r)
{
    enum txkv_rc rc = txkv_commit(r->writer, TXKV_SYNC_OFF, r->err);

    r->waiting = 0;
    return rc == TXKV_OK ? txkv_begin(r->writer, r->err) : rc;
}

/* One entry of the row that has been read. */
static enum txkv_rc
add_entry(struct reindex *r, int index)
{
    const bool is_unique = tx_relation_entry(r->shape, index, r->row.cells, &r->row.key, &r->entry);
    const struct txkv_bytes key = tx_tuple_bytes(&r->entry);
    struct txkv_bytes value = { NULL, 0 };
    enum txkv_rc rc;

    if (r->entry.no_memory)
        return TXKV_NOMEM;
    if (key.bytes > TXKV_KEY_BYTES_MAX) {
        r->report->damaged_rows++;
        return TXKV_OK;
    }
    if (!is_unique)
        return txkv_put(r->writer, r->indexes[index], key, value, r->err);
    rc = txkv_get(r->writer, r->indexes[index], key, &value, r->err);
    if (rc == TXKV_NOTFOUND)
        return txkv_put(r->writer, r->indexes[index], key, tx_tuple_bytes(&r->row.key), r->err);
    r->report->unique_conflicts += rc == TXKV_OK;
    return rc;
}

static enum txkv_rc
add_row(struct reindex *r, struct txkv_bytes key, struct txkv_bytes value)
{
    const int sql_rc = tx_row_read(&r->row, r->shape, key, value);
    enum txkv_rc rc = TXKV_OK;

    if (sql_rc != SQLITE_OK) {
        r->report->damaged_rows += sql_rc != SQLITE_NOMEM;
        return sql_rc == SQLITE_NOMEM ? TXKV_NOMEM : TXKV_OK;
    }
    tx_tuple_clear(&r->row.key);
    tx_tuple_append(&r->row.key, key.data, key.bytes);
    if (r->row.key.no_memory)
        return TXKV_NOMEM;
    for (int i = 0; i < r->shape->index_count && rc == TXKV_OK; i++)
        rc = add_entry(r, i);
    if (rc == TXKV_OK && ++r->waiting >= ROWS_MAX)
        rc = commit(r);
    return rc;
}

static enum txkv_rc
walk_rows(struct reindex *r, uint32_t number)
{
    const struct txkv_range all = { .lo_open = false };
    struct txkv_cursor *cursor;
    enum txkv_rc rc = txkv_cursor_open(r->reader, number, &cursor, r->err);

    if (rc != TXKV_OK)
        return rc;
    for (rc = txkv_cursor_seek(cursor, &all, r->err); rc == TXKV_OK;) {
        rc = add_row(r, txkv_cursor_key(cursor), txkv_cursor_value(cursor));
        if (rc == TXKV_OK)
            rc = txkv_cursor_next(cursor, r->err);
    }
    txkv_cursor_close(cursor);
    return rc == TXKV_NOTFOUND ? commit(r) : rc;
}

static enum txkv_rc
reindex_table(struct reindex *r, const char *name, uint32_t number)
{
    const char *shape = txkv_table_shape(r->store, number);
    char *message = NULL;
    enum txkv_rc rc = TXKV_OK;
    int parsed;

    if (shape == NULL || shape[0] == '\0' || strcmp(shape, TX_KEY_VALUE_SHAPE) == 0)
        return TXKV_OK;
    parsed = tx_shape_parse(shape, &r->shape, &message);
    sqlite3_free(message);
    if (parsed != SQLITE_OK) /* a table of a program that uses the store from C */
        return parsed == SQLITE_NOMEM ? TXKV_NOMEM : TXKV_OK;
    if (r->shape->index_count > 0) {
        rc = tx_row_make(&r->row, r->shape) ? renew_indexes(r, name) : TXKV_NOMEM;
        if (rc == TXKV_OK)
            rc = walk_rows(r, number);
        tx_row_free(&r->row, r->shape);
    }
    tx_shape_free(r->shape);
    return rc;
}

enum txkv_rc
tx_reindex(struct txkv *store, struct tx_reindex_report *report, struct txkv_error *err)
{
    struct reindex r = { .store = store, .report = report, .err = err };
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    uint32_t number = 0;
    enum txkv_rc rc;

    *report = (struct tx_reindex_report){ .indexes = 0 };
    tx_tuple_init(&r.entry);
    rc = txkv_session_open(store, &r.reader, err);
    if (rc == TXKV_OK)
        rc = txkv_session_open(store, &r.writer, err);
    if (rc == TXKV_OK)
        rc = txkv_begin(r.writer, err);
    /* The tables that it makes have higher numbers, or are indexes, too. */
    while (rc == TXKV_OK && txkv_table_next(store, &number, name))
        if (!tx_relation_is_index(name))
            rc = reindex_table(&r, name, number);
    txkv_session_close(r.writer);
    txkv_session_close(r.reader);
    tx_tuple_free(&r.entry);
    if (rc == TXKV_NOMEM)
        *err = (struct txkv_error){ TXKV_NOMEM, "out of memory" };
    return rc;
}
