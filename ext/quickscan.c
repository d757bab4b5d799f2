/*
 * quickscan.c - txkv_scan(where, name): the rows of a table of a store, without CREATE.
 *
 * A table-valued function has the same columns whatever it is called with. So a row comes as its
 * key, when that is one column, its value, when that is one, and all of it as a JSON object, whose
 * operator ->> gives each column back with its type.
 */
#include <string.h>

#include "json.h"
#include "relation.h"
#include "rowcodec.h"
#include "sqlerror.h"
#include "tables.h"
#include "where.h"

enum column { KEY, VALUE, ROW, STORE, NAME };

#define DECLARATION "CREATE TABLE x(key, value, row TEXT, store HIDDEN, name HIDDEN)"

enum { HAS_ALL = 3 };

struct scan {
    sqlite3_vtab_cursor base;
    char *where, *name; /* the arguments */
    struct txkv *store; /* NULL: it has none open */
    struct txkv_session *session;
    struct txkv_cursor *walk;
    struct tx_shape *shape; /* NULL: key and value */
    struct tx_row row;      /* with a shape */
    bool at_row;
    sqlite3_int64 rowid;
};

static int
connect(sqlite3 *db, void *data, int argc, const char *const *argv, sqlite3_vtab **out,
        char **message)
{
    (void)argc;
    (void)argv;
    (void)message;
    return tx_listing_connect(db, data, DECLARATION, true, out);
}

static int
best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    (void)vtab;
    return tx_listing_best_index(info, STORE, 2);
}

static int
open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    struct scan *scan = sqlite3_malloc(sizeof(*scan));

    (void)vtab;
    if (scan == NULL)
        return SQLITE_NOMEM;
    *scan = (struct scan){ .store = NULL };
    *out = &scan->base;
    return SQLITE_OK;
}

static void
let_go(struct scan *scan)
{
    txkv_cursor_close(scan->walk);
    txkv_session_close(scan->session);
    (void)txkv_close(scan->store, NULL);
    if (scan->shape != NULL)
        tx_row_free(&scan->row, scan->shape);
    tx_shape_free(scan->shape);
    sqlite3_free(scan->where);
    sqlite3_free(scan->name);
    *scan = (struct scan){ .base = scan->base };
}

static int
close_cursor(sqlite3_vtab_cursor *base)
{
    let_go((struct scan *)base);
    sqlite3_free(base);
    return SQLITE_OK;
}

static int
fail(struct scan *scan, enum txkv_rc rc, const struct txkv_error *err)
{
    return tx_sql_fail(&scan->base.pVtab->zErrMsg, "txkv_scan", rc, err);
}

/* ---- placing ---- */

static int
read_shape(struct scan *scan, uint32_t number, const char *name)
{
    const char *text = txkv_table_shape(scan->store, number);
    char *message = NULL;
    int rc;

    if (text == NULL || strcmp(text, TX_KEY_VALUE_SHAPE) == 0)
        return SQLITE_OK;
    rc = tx_shape_parse(text, &scan->shape, &message);
    if (rc != SQLITE_OK) {
        rc = rc == SQLITE_NOMEM
                 ? rc
                 : tx_sql_refuse(&scan->base.pVtab->zErrMsg, SQLITE_ERROR,
                                 "txkv_scan: %s has no columns that SQL can show: it belongs to a "
                                 "program that uses the store from C",
                                 name);
        sqlite3_free(message);
        return rc;
    }
    return tx_row_make(&scan->row, scan->shape) ? SQLITE_OK : SQLITE_NOMEM;
}

/* True for SQLITE_OK from a call of the store that has found a row or the end. */
static int
settle(struct scan *scan, enum txkv_rc rc, const struct txkv_error *err)
{
    scan->at_row = rc == TXKV_OK;
    return rc == TXKV_OK || rc == TXKV_NOTFOUND ? SQLITE_OK : fail(scan, rc, err);
}

static int
start(struct scan *scan, const char *where, const char *name)
{
    const struct tx_listing *table = (const struct tx_listing *)scan->base.pVtab;
    const struct txkv_range all = { .lo_open = false };
    char **message = &scan->base.pVtab->zErrMsg;
    struct txkv_error err;
    uint32_t number = 0;
    enum txkv_rc store_rc;
    int rc = tx_where_open(table->connection, "txkv_scan", where, &scan->store, message);

    if (rc == SQLITE_OK)
        rc = tx_where_find(scan->store, "txkv_scan", name, &number, message);
    if (rc == SQLITE_OK)
        rc = read_shape(scan, number, name);
    if (rc != SQLITE_OK)
        return rc;
    store_rc = txkv_session_open(scan->store, &scan->session, &err);
    if (store_rc == TXKV_OK)
        store_rc = txkv_cursor_open(scan->session, number, &scan->walk, &err);
    if (store_rc == TXKV_OK)
        store_rc = txkv_cursor_seek(scan->walk, &all, &err);
    return settle(scan, store_rc, &err);
}

static int
filter(sqlite3_vtab_cursor *base, int plan, const char *text, int count, sqlite3_value **arguments)
{
    struct scan *scan = (struct scan *)base;
    const char *where = NULL, *name = NULL;

    (void)text;
    let_go(scan);
    if (plan == HAS_ALL && count == 2) {
        where = (const char *)sqlite3_value_text(arguments[0]);
        name = (const char *)sqlite3_value_text(arguments[1]);
    }
    if (where == NULL || name == NULL)
        return tx_sql_refuse(&base->pVtab->zErrMsg, SQLITE_ERROR,
                             "txkv_scan: give a txkv table or a store's directory, and the name of "
                             "a table in the store: SELECT * FROM txkv_scan('DIR', 'NAME')");
    scan->where = sqlite3_mprintf("%s", where);
    scan->name = sqlite3_mprintf("%s", name);
    if (scan->where == NULL || scan->name == NULL)
        return SQLITE_NOMEM;
    return start(scan, scan->where, scan->name);
}

static int
next(sqlite3_vtab_cursor *base)
{
    struct scan *scan = (struct scan *)base;
    struct txkv_error err;

    scan->rowid++;
    return settle(scan, txkv_cursor_next(scan->walk, &err), &err);
}

static int
eof(sqlite3_vtab_cursor *base)
{
    return !((struct scan *)base)->at_row;
}

/* ---- the row ---- */

static int
fail_damaged(struct scan *scan)
{
    return tx_sql_refuse(&scan->base.pVtab->zErrMsg, SQLITE_CORRUPT_VTAB,
                         "txkv_scan: a row is damaged: SELECT txkv_check('%s') lists what is, and "
                         "restore the store from a backup",
                         txkv_dir(scan->store));
}

/* Key and value of a row without declared columns. */
static bool
read_pair(const struct scan *scan, struct tx_cell cells[2])
{
    const struct txkv_bytes key = txkv_cursor_key(scan->walk);
    const struct txkv_bytes value = txkv_cursor_value(scan->walk);

    return tx_key_cell(key.data, key.bytes, tx_row_note(value.data, value.bytes), &cells[0]) &&
           tx_row_cells(value.data, value.bytes, TX_VALUE_COLUMNS, &cells[1]);
}

static void
append_columns(const struct scan *scan, const struct tx_cell pair[2], sqlite3_str *out)
{
    static const char *const names[] = { "key", "value" };
    const int count = scan->shape == NULL ? 2 : scan->shape->column_count;

    for (int i = 0; i < count; i++) {
        const char *name = scan->shape == NULL ? names[i] : scan->shape->columns[i].name;

        sqlite3_str_appendchar(out, 1, i == 0 ? '{' : ',');
        tx_json_string(out, name, strlen(name));
        sqlite3_str_appendchar(out, 1, ':');
        tx_json_cell(out, scan->shape == NULL ? &pair[i] : &scan->row.cells[i]);
    }
    sqlite3_str_appendchar(out, 1, '}');
}

static int
give_row(const struct scan *scan, const struct tx_cell pair[2], sqlite3_context *context)
{
    sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
    char *text;
    int rc, bytes;

    append_columns(scan, pair, out);
    rc = sqlite3_str_errcode(out);
    bytes = sqlite3_str_length(out);
    text = sqlite3_str_finish(out);
    if (rc == SQLITE_OK)
        sqlite3_result_text(context, text, bytes, sqlite3_free);
    else
        sqlite3_free(text);
    return rc;
}

/* The key as a value: the rowid, or the PRIMARY KEY of one column. */
static void
give_key(const struct scan *scan, sqlite3_context *context)
{
    const struct tx_key *primary = &scan->shape->primary;
    int64_t rowid;

    if (tx_shape_has_rowid(scan->shape)) {
        if (tx_relation_rowid(txkv_cursor_key(scan->walk), &rowid))
            sqlite3_result_int64(context, rowid);
    } else if (primary->count == 1) {
        tx_cell_result(context, &scan->row.cells[primary->columns[0]]);
    }
}

static int
column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    struct scan *scan = (struct scan *)base;
    struct tx_cell pair[2] = { { .type = SQLITE_NULL }, { .type = SQLITE_NULL } };
    int rc;

    if (index == STORE || index == NAME) {
        sqlite3_result_text(context, index == STORE ? scan->where : scan->name, -1,
                            SQLITE_TRANSIENT);
        return SQLITE_OK;
    }
    if (scan->shape == NULL)
        rc = read_pair(scan, pair) ? SQLITE_OK : SQLITE_CORRUPT_VTAB;
    else
        rc = tx_row_read(&scan->row, scan->shape, txkv_cursor_key(scan->walk),
                         txkv_cursor_value(scan->walk));
    if (rc != SQLITE_OK)
        return rc == SQLITE_CORRUPT_VTAB ? fail_damaged(scan) : rc;
    if (index == ROW)
        return give_row(scan, pair, context);
    if (scan->shape == NULL)
        tx_cell_result(context, &pair[index]);
    else if (index == KEY)
        give_key(scan, context);
    return SQLITE_OK;
}

static int
rowid_of(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    *rowid = ((struct scan *)base)->rowid;
    return SQLITE_OK;
}

/* No xCreate: the table is there by its module's name, and only so. */
static const sqlite3_module module = {
    .iVersion = 0,
    .xConnect = connect,
    .xBestIndex = best_index,
    .xDisconnect = tx_listing_disconnect,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter,
    .xNext = next,
    .xEof = eof,
    .xColumn = column,
    .xRowid = rowid_of,
};

int
tx_quickscan_register(struct tx_connection *connection)
{
    return sqlite3_create_module_v2(connection->db, "txkv_scan", &module,
                                    tx_connection_ref(connection), tx_connection_unref);
}
