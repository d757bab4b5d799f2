/*
 * tables.c - txkv_tables: the tables in the connection's stores, or in one directory.
 */
#include "tables.h"

#include <string.h>

#include "relation.h"
#include "sqlerror.h"
#include "where.h"

enum column { STORE, NAME, COLUMNS, ROWS, BYTES, DIR };

#define DECLARATION                                                                                \
    "CREATE TABLE x(store TEXT, name TEXT, columns TEXT, rows INTEGER, bytes INTEGER, dir HIDDEN)"

/* The plan's bits: the argument is given; rows or bytes are asked for. */
enum { HAS_DIR = 1, MEASURES = 2 };

/* One table. */
struct entry {
    struct entry *next;
    char *name, *columns;
    char *dir; /* of the store */
    struct txkv_table_size size;
    uint64_t index_bytes;
};

struct tables_cursor {
    sqlite3_vtab_cursor base;
    char *dir;             /* the argument, or NULL */
    struct entry *entries; /* from the one it stands on */
    sqlite3_int64 rowid;
};

/* ---- what txkv_scan uses as well, and txkv_stats in part ---- */

int
tx_listing_connect(sqlite3 *db, void *connection, const char *declaration, bool names_path,
                   sqlite3_vtab **out)
{
    struct tx_listing *table;
    int rc = sqlite3_declare_vtab(db, declaration);

    if (rc == SQLITE_OK && names_path)
        rc = sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
    if (rc != SQLITE_OK)
        return rc;
    table = sqlite3_malloc(sizeof(*table));
    if (table == NULL)
        return SQLITE_NOMEM;
    *table = (struct tx_listing){ .connection = connection };
    *out = &table->base;
    return SQLITE_OK;
}

int
tx_listing_disconnect(sqlite3_vtab *vtab)
{
    sqlite3_free(vtab);
    return SQLITE_OK;
}

int
tx_listing_best_index(sqlite3_index_info *info, int first, int count)
{
    int places[2] = { -1, -1 };
    int next = 1;

    info->idxNum = 0;
    for (int i = 0; i < info->nConstraint; i++) {
        const int argument = info->aConstraint[i].iColumn - first;

        if (argument < 0 || argument >= count ||
            info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        if (!info->aConstraint[i].usable)
            return SQLITE_CONSTRAINT;
        places[argument] = i;
    }
    for (int argument = 0; argument < count; argument++) {
        if (places[argument] < 0)
            continue;
        info->aConstraintUsage[places[argument]].argvIndex = next++;
        info->aConstraintUsage[places[argument]].omit = 1;
        info->idxNum |= 1 << argument;
    }
    info->estimatedCost = 1000.0;
    info->estimatedRows = 1000;
    return SQLITE_OK;
}

/* ---- the methods ---- */

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
    const int rc = tx_listing_best_index(info, DIR, 1);

    (void)vtab;
    if ((info->colUsed & (1u << ROWS | 1u << BYTES)) != 0)
        info->idxNum |= MEASURES;
    return rc;
}

static int
open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    struct tables_cursor *cursor = sqlite3_malloc(sizeof(*cursor));

    (void)vtab;
    if (cursor == NULL)
        return SQLITE_NOMEM;
    *cursor = (struct tables_cursor){ .entries = NULL };
    *out = &cursor->base;
    return SQLITE_OK;
}

static void
drop_first(struct tables_cursor *cursor)
{
    struct entry *entry = cursor->entries;

    cursor->entries = entry->next;
    sqlite3_free(entry->name);
    sqlite3_free(entry->columns);
    sqlite3_free(entry->dir);
    sqlite3_free(entry);
}

static void
empty(struct tables_cursor *cursor)
{
    while (cursor->entries != NULL)
        drop_first(cursor);
    sqlite3_free(cursor->dir);
    cursor->dir = NULL;
}

static int
close_cursor(sqlite3_vtab_cursor *base)
{
    struct tables_cursor *cursor = (struct tables_cursor *)base;

    empty(cursor);
    sqlite3_free(cursor);
    return SQLITE_OK;
}

/* ---- listing a store ---- */

static struct entry *
new_entry(struct txkv *store, uint32_t number, const char *name)
{
    const char *shape = txkv_table_shape(store, number);
    struct entry *entry = sqlite3_malloc(sizeof(*entry));

    if (entry == NULL)
        return NULL;
    *entry = (struct entry){ .next = NULL };
    if (shape != NULL && strcmp(shape, TX_KEY_VALUE_SHAPE) == 0)
        shape = "key, value";
    entry->name = sqlite3_mprintf("%s", name);
    entry->columns = sqlite3_mprintf("%s", shape == NULL ? "" : shape);
    entry->dir = sqlite3_mprintf("%s", txkv_dir(store));
    return entry;
}

static uint64_t
all_bytes(const struct txkv_table_size *size)
{
    return size->tree_bytes + size->overlay_bytes;
}

/* What the table's indexes hold goes to it. */
static enum txkv_rc
add_index(struct txkv_session *session, uint32_t number, const char *name, struct entry *entries,
          struct txkv_error *err)
{
    struct txkv_table_size size;
    enum txkv_rc rc;
    int index;

    while (entries != NULL && !tx_relation_is_index_of(name, entries->name, &index))
        entries = entries->next;
    if (entries == NULL)
        return TXKV_OK;
    rc = txkv_table_measure(session, number, &size, err);
    if (rc == TXKV_OK)
        entries->index_bytes += all_bytes(&size);
    return rc == TXKV_SCHEMA ? TXKV_OK : rc;
}

/* The tables, and then what they hold, for an index may have a lower number than its table. */
static enum txkv_rc
list_names(struct txkv *store, struct entry **end, struct txkv_error *err)
{
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    uint32_t number = 0;

    while (txkv_table_next(store, &number, name)) {
        if (tx_relation_is_index(name))
            continue;
        *end = new_entry(store, number, name);
        if (*end == NULL || (*end)->name == NULL || (*end)->columns == NULL ||
            (*end)->dir == NULL) {
            *err = (struct txkv_error){ TXKV_NOMEM, "out of memory" };
            return TXKV_NOMEM;
        }
        end = &(*end)->next;
    }
    return TXKV_OK;
}

static enum txkv_rc
measure(struct txkv *store, struct txkv_session *session, struct entry *entries,
        struct txkv_error *err)
{
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    uint32_t number = 0;
    enum txkv_rc rc = TXKV_OK;

    while (rc == TXKV_OK && txkv_table_next(store, &number, name)) {
        struct entry *entry = entries;

        if (tx_relation_is_index(name)) {
            rc = add_index(session, number, name, entries, err);
            continue;
        }
        while (entry != NULL && strcmp(entry->name, name) != 0)
            entry = entry->next;
        if (entry != NULL)
            rc = txkv_table_measure(session, number, &entry->size, err);
        rc = rc == TXKV_SCHEMA ? TXKV_OK : rc; /* dropped just now */
    }
    return rc;
}

static enum txkv_rc
list_store(struct tables_cursor *cursor, struct txkv *store, bool measures, struct txkv_error *err)
{
    struct entry **end = &cursor->entries;
    struct txkv_session *session;
    enum txkv_rc rc;

    while (*end != NULL)
        end = &(*end)->next;
    rc = list_names(store, end, err);
    if (rc != TXKV_OK || !measures)
        return rc;
    rc = txkv_session_open(store, &session, err);
    if (rc != TXKV_OK)
        return rc;
    rc = measure(store, session, *end, err);
    txkv_session_close(session);
    return rc;
}

static int
list_dir(struct tables_cursor *cursor, const char *dir, bool measures, char **message)
{
    struct tx_listing *table = (struct tx_listing *)cursor->base.pVtab;
    struct txkv_error err;
    struct txkv *store;
    enum txkv_rc rc;
    int sql_rc;

    if (dir == NULL)
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "txkv_tables: the argument is a txkv table or a store's directory");
    sql_rc = tx_where_open(table->connection, "txkv_tables", dir, &store, message);
    if (sql_rc != SQLITE_OK)
        return sql_rc;
    rc = list_store(cursor, store, measures, &err);
    (void)txkv_close(store, NULL);
    return rc == TXKV_OK ? SQLITE_OK : tx_sql_fail(message, "txkv_tables", rc, &err);
}

static int
filter(sqlite3_vtab_cursor *base, int plan, const char *text, int count, sqlite3_value **arguments)
{
    struct tables_cursor *cursor = (struct tables_cursor *)base;
    const struct tx_listing *table = (const struct tx_listing *)base->pVtab;
    const bool measures = (plan & MEASURES) != 0;

    (void)text;
    (void)count;
    empty(cursor);
    cursor->rowid = 0;
    if ((plan & HAS_DIR) != 0) {
        const char *dir = (const char *)sqlite3_value_text(arguments[0]);

        cursor->dir = dir == NULL ? NULL : sqlite3_mprintf("%s", dir);
        if (dir != NULL && cursor->dir == NULL)
            return SQLITE_NOMEM;
        return list_dir(cursor, cursor->dir, measures, &base->pVtab->zErrMsg);
    }
    for (struct tx_link *link = table->connection->links; link != NULL; link = link->next) {
        struct txkv_error err;
        const enum txkv_rc rc = list_store(cursor, link->store, measures, &err);

        if (rc != TXKV_OK)
            return tx_sql_fail(&base->pVtab->zErrMsg, "txkv_tables", rc, &err);
    }
    return SQLITE_OK;
}

static int
next(sqlite3_vtab_cursor *base)
{
    struct tables_cursor *cursor = (struct tables_cursor *)base;

    drop_first(cursor);
    cursor->rowid++;
    return SQLITE_OK;
}

static int
eof(sqlite3_vtab_cursor *base)
{
    return ((struct tables_cursor *)base)->entries == NULL;
}

static int
column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    const struct entry *entry = ((const struct tables_cursor *)base)->entries;
    const uint64_t bytes = all_bytes(&entry->size) + entry->index_bytes;

    switch (index) {
    case STORE:
        sqlite3_result_text(context, entry->dir, -1, SQLITE_TRANSIENT);
        break;
    case NAME:
        sqlite3_result_text(context, entry->name, -1, SQLITE_TRANSIENT);
        break;
    case COLUMNS:
        sqlite3_result_text(context, entry->columns, -1, SQLITE_TRANSIENT);
        break;
    case ROWS:
        sqlite3_result_int64(context, (sqlite3_int64)entry->size.rows);
        break;
    case BYTES:
        sqlite3_result_int64(context, (sqlite3_int64)bytes);
        break;
    default:
        sqlite3_result_text(context, ((struct tables_cursor *)base)->dir, -1, SQLITE_TRANSIENT);
        break;
    }
    return SQLITE_OK;
}

static int
rowid_of(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    *rowid = ((struct tables_cursor *)base)->rowid;
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
tx_tables_register(struct tx_connection *connection)
{
    return sqlite3_create_module_v2(connection->db, "txkv_tables", &module,
                                    tx_connection_ref(connection), tx_connection_unref);
}
