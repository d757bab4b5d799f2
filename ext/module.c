/*
 * module.c - the txkv virtual table module: creating, connecting, renaming and dropping tables.
 */
#include "module.h"

#include <string.h>

#include "args.h"
#include "check.h"
#include "prepared.h"
#include "relation.h"
#include "rename.h"
#include "rowscan.h"
#include "scan.h"
#include "sqlerror.h"
#include "transaction.h"
#include "write.h"

/* xCreate's argv: the module, the schema, the table, and then what stands in the parentheses. */
enum { ARG_SCHEMA = 1, ARG_TABLE = 2, ARG_FIRST = 3 };

/* ---- creating and connecting ---- */

static struct tx_table *
new_table(struct tx_connection *connection, const char *name)
{
    struct tx_table *table = sqlite3_malloc(sizeof(*table));

    if (table == NULL)
        return NULL;
    *table = (struct tx_table){ .connection = connection };
    table->name = sqlite3_mprintf("%s", name);
    if (table->name != NULL)
        return table;
    sqlite3_free(table);
    return NULL;
}

static void
free_table(struct tx_table *table)
{
    tx_scan_free(table->spare);
    tx_relation_free(table->relation);
    sqlite3_free(table->base.zErrMsg);
    sqlite3_free(table->name);
    sqlite3_free(table->schema);
    sqlite3_free(table);
}

static void
join_link(struct tx_table *table, struct tx_link *link)
{
    table->link = link;
    link->tables++;
    link->dropped = false;
    table->next = table->connection->tables;
    table->connection->tables = table;
}

/* Open the store that the arguments name and find or make the table in it. */
static int
attach(struct tx_table *table, const struct tx_args *args, char **message)
{
    struct txkv_error err;
    struct tx_link *link;
    const char *stored;
    enum txkv_rc store_rc;
    int rc = SQLITE_OK;

    if (args->columns != NULL) /* before a store is made that nobody asked for */
        rc = tx_relation_define(table, args->table, args->columns, message);
    if (rc != SQLITE_OK)
        return rc;
    store_rc = tx_link_open(table->connection, args->dir, &args->options, &link, &err);
    if (store_rc == TXKV_CANTOPEN && args->options.must_exist)
        return tx_sql_refuse(message, SQLITE_CANTOPEN,
                             "%s: %s; put the store back, or make an empty one there with CREATE "
                             "VIRTUAL TABLE temp.t USING txkv('%s')",
                             table->name, err.text, args->dir);
    if (store_rc != TXKV_OK)
        return tx_sql_fail(message, table->name, store_rc, &err);
    table->link = link;
    stored = tx_rename_stored(link, args->table);
    rc = stored != NULL
             ? tx_relation_open(table, stored, !args->options.must_exist, message)
             : tx_sql_refuse(message, SQLITE_ERROR,
                             "%s: in the store another table has that name until the transaction "
                             "that renames it is committed: COMMIT first",
                             table->name);
    if (rc != SQLITE_OK) {
        tx_link_drop(link);
        return rc;
    }
    table->sync = args->sync;
    table->isolation = args->isolation;
    table->bears_name = !args->table_given;
    join_link(table, link);
    return SQLITE_OK;
}

/* Note the schema if it has a file, which is then committed with the table. */
static int
set_schema(struct tx_table *table, const char *schema)
{
    if (tx_prepared_file(table->connection->db, schema) == NULL)
        return SQLITE_OK;
    table->schema = sqlite3_mprintf("%s", schema);
    return table->schema == NULL ? SQLITE_NOMEM : SQLITE_OK;
}

static int
connect_with(struct tx_connection *connection, const char *const *argv, const struct tx_args *args,
             sqlite3_vtab **out, char **message)
{
    struct tx_table *table = new_table(connection, argv[ARG_TABLE]);
    int rc;

    if (table == NULL)
        return SQLITE_NOMEM;
    rc = set_schema(table, argv[ARG_SCHEMA]);
    if (rc == SQLITE_OK)
        rc = attach(table, args, message);
    if (rc == SQLITE_OK)
        *out = &table->base;
    else
        free_table(table);
    return rc;
}

/* must_exist: a table that is in a schema already never makes a new, empty store in silence. */
static int
open_table(struct tx_connection *connection, int argc, const char *const *argv, bool must_exist,
           sqlite3_vtab **out, char **message)
{
    struct tx_args args;
    int rc = tx_args_parse(argc - ARG_FIRST, argv + ARG_FIRST, argv[ARG_TABLE], &args, message);

    if (rc != SQLITE_OK)
        return rc;
    args.options.must_exist = must_exist;
    args.options.resolve = tx_prepared_resolve;
    rc = connect_with(connection, argv, &args, out, message);
    tx_args_free(&args);
    return rc;
}

static int
connect(sqlite3 *db, void *data, int argc, const char *const *argv, sqlite3_vtab **out,
        char **message)
{
    (void)db;
    return open_table(data, argc, argv, true, out, message);
}

/* ---- the end of a table ---- */

static int
disconnect(sqlite3_vtab *vtab)
{
    struct tx_table *table = (struct tx_table *)vtab;
    struct tx_connection *connection = table->connection;
    struct tx_table **place = &connection->tables;

    while (*place != table)
        place = &(*place)->next;
    *place = table->next;
    table->link->tables--;
    free_table(table);
    if (connection->tables == NULL)
        tx_transaction_forget(connection);
    return SQLITE_OK;
}

/* After xCreate has opened the table; *what names what could not be made. */
static int
make_internal(const struct tx_table *table, const char **what)
{
    int rc = tx_transaction_prepare(table->connection);

    *what = "temp." TX_TRANSACTION_TABLE;
    if (rc != SQLITE_OK || table->schema == NULL)
        return rc;
    *what = TX_PREPARED_TABLE ", which a commit together with native tables needs";
    return tx_prepared_create(table->connection->db, table->schema);
}

static int
create(sqlite3 *db, void *data, int argc, const char *const *argv, sqlite3_vtab **out,
       char **message)
{
    int rc = open_table(data, argc, argv, false, out, message);
    const char *what;

    if (rc != SQLITE_OK)
        return rc;
    rc = make_internal((struct tx_table *)*out, &what);
    if (rc != SQLITE_OK) { /* argv may be gone: it is part of the schema that SQLite has reset */
        struct tx_table *table = (struct tx_table *)*out;
        struct tx_link *link = table->link;

        (void)tx_sql_refuse(message, rc, "%s: cannot make or use %s: %s", table->name, what,
                            sqlite3_errmsg(db));
        (void)disconnect(&table->base);
        tx_link_drop(link);
        *out = NULL;
    }
    return rc;
}

static int
destroy(sqlite3_vtab *vtab)
{
    struct tx_table *table = (struct tx_table *)vtab;
    struct tx_link *link = table->link;

    /* SQLite forgets a table that it drops, and with it the xCommit; somebody else must get it. */
    if (link->begun) {
        const int rc = tx_transaction_enlist(table);

        if (rc != SQLITE_OK)
            return rc;
    }
    (void)disconnect(vtab);
    tx_link_drop(link);
    return SQLITE_OK;
}

static int
rename_table(sqlite3_vtab *vtab, const char *name)
{
    struct tx_table *table = (struct tx_table *)vtab;
    char *copy;

    if (table->bears_name) {
        const int rc = tx_rename_note(table, name);

        if (rc != SQLITE_OK)
            return rc;
    }
    copy = sqlite3_mprintf("%s", name);
    if (copy == NULL)
        return SQLITE_NOMEM;
    sqlite3_free(table->name);
    table->name = copy;
    return SQLITE_OK;
}

/* ---- the internal table of transaction.h: it has no rows; its transaction methods matter ---- */

static int
internal_connect(sqlite3 *db, void *data, int argc, const char *const *argv, sqlite3_vtab **out,
                 char **message)
{
    struct tx_table *table;
    int rc = sqlite3_declare_vtab(db, "CREATE TABLE x(none)");

    (void)argc;
    (void)message;
    if (rc != SQLITE_OK)
        return rc;
    table = new_table(data, argv[ARG_TABLE]);
    if (table == NULL)
        return SQLITE_NOMEM;
    *out = &table->base;
    return SQLITE_OK;
}

static int
internal_disconnect(sqlite3_vtab *vtab)
{
    free_table((struct tx_table *)vtab);
    return SQLITE_OK;
}

static int
internal_destroy(sqlite3_vtab *vtab)
{
    const struct tx_table *table = (const struct tx_table *)vtab;

    /* This table may be the only one that gets the transaction's xCommit. */
    return table->connection->enlisted ? SQLITE_LOCKED : internal_disconnect(vtab);
}

static int
internal_best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
    (void)vtab;
    info->estimatedCost = 1.0;
    return SQLITE_OK;
}

static int
internal_open(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
    (void)vtab;
    *out = sqlite3_malloc(sizeof(**out));
    return *out == NULL ? SQLITE_NOMEM : SQLITE_OK;
}

static int
internal_close(sqlite3_vtab_cursor *cursor)
{
    sqlite3_free(cursor);
    return SQLITE_OK;
}

static int
internal_filter(sqlite3_vtab_cursor *cursor, int plan, const char *text, int count,
                sqlite3_value **arguments)
{
    (void)cursor;
    (void)plan;
    (void)text;
    (void)count;
    (void)arguments;
    return SQLITE_OK;
}

static int
internal_next(sqlite3_vtab_cursor *cursor)
{
    (void)cursor;
    return SQLITE_OK;
}

static int
internal_eof(sqlite3_vtab_cursor *cursor)
{
    (void)cursor;
    return 1;
}

static int
internal_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column)
{
    (void)cursor;
    (void)column;
    sqlite3_result_null(context);
    return SQLITE_OK;
}

static int
internal_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid)
{
    (void)cursor;
    *rowid = 0;
    return SQLITE_OK;
}

static int
internal_update(sqlite3_vtab *vtab, int argc, sqlite3_value **argv, sqlite3_int64 *rowid)
{
    (void)argc;
    (void)argv;
    *rowid = 0;
    return tx_sql_refuse(&vtab->zErrMsg, SQLITE_READONLY, "%s: txkv's own table takes no rows",
                         ((struct tx_table *)vtab)->name);
}

/* ---- the methods ---- */

/* Of a table named txkv, the table of prepared.h is one that SQLITE_DBCONFIG_DEFENSIVE keeps from
 * being written by anybody but this module. */
static int
shadow_name(const char *suffix)
{
    return sqlite3_stricmp(suffix, &TX_PREPARED_TABLE[strlen("txkv_")]) == 0;
}

/* PRAGMA integrity_check and quick_check: the latter leaves it out, for all of the table is read.
 */
static int
integrity(sqlite3_vtab *vtab, const char *schema, const char *name, int flags, char **problem)
{
    const struct tx_table *table = (const struct tx_table *)vtab;
    char *found = NULL, *message = NULL;
    int rc;

    *problem = NULL;
    if ((flags & 1) != 0)
        return SQLITE_OK;
    rc = tx_check_table(table->link->store, table->number, &found, &message);
    if (rc != SQLITE_OK && rc != SQLITE_NOMEM)
        *problem = sqlite3_mprintf("%s.%s: %s", schema, name, message);
    else if (found != NULL)
        *problem = sqlite3_mprintf("%s.%s: %s", schema, name, found);
    if (*problem != NULL)
        rc = SQLITE_OK; /* a line among the problems, and the next table */
    else if (found != NULL)
        rc = SQLITE_NOMEM; /* it must not pass for "ok" */
    sqlite3_free(found);
    sqlite3_free(message);
    return rc;
}

/*
 * Version 4, whatever the headers are: SQLite looks at no more methods than it knows of. So one
 * binary serves old ones, and takes part in the integrity_check of those from 3.44 on.
 */
#define HAVE_XINTEGRITY (SQLITE_VERSION_NUMBER >= 3044000)
static const struct {
    sqlite3_module methods;
#if !HAVE_XINTEGRITY /* the next member of a sqlite3_module */
    int (*xIntegrity)(sqlite3_vtab *, const char *, const char *, int, char **);
#endif
} module = {
    .methods = {
        .iVersion = 4,
        .xShadowName = shadow_name,
        .xCreate = create,
        .xConnect = connect,
        .xBestIndex = tx_scan_best_index,
        .xDisconnect = disconnect,
        .xDestroy = destroy,
        .xOpen = tx_scan_open,
        .xClose = tx_scan_close,
        .xFilter = tx_scan_filter,
        .xNext = tx_scan_next,
        .xEof = tx_scan_eof,
        .xColumn = tx_scan_column,
        .xRowid = tx_rowscan_rowid,
        .xUpdate = tx_write_update,
        .xBegin = tx_transaction_begin,
        .xSync = tx_transaction_sync,
        .xCommit = tx_transaction_commit,
        .xRollback = tx_transaction_rollback,
        .xRename = rename_table,
        .xSavepoint = tx_transaction_savepoint,
        .xRelease = tx_transaction_release,
        .xRollbackTo = tx_transaction_rollback_to,
#if HAVE_XINTEGRITY
        .xIntegrity = integrity,
#endif
    },
#if !HAVE_XINTEGRITY
    .xIntegrity = integrity,
#endif
};

static const sqlite3_module internal_module = {
    .iVersion = 2,
    .xCreate = internal_connect,
    .xConnect = internal_connect,
    .xBestIndex = internal_best_index,
    .xDisconnect = internal_disconnect,
    .xDestroy = internal_destroy,
    .xOpen = internal_open,
    .xClose = internal_close,
    .xFilter = internal_filter,
    .xNext = internal_next,
    .xEof = internal_eof,
    .xColumn = internal_column,
    .xRowid = internal_rowid,
    .xUpdate = internal_update,
    .xBegin = tx_transaction_begin,
    .xSync = tx_transaction_sync,
    .xCommit = tx_transaction_commit,
    .xRollback = tx_transaction_rollback,
    .xSavepoint = tx_transaction_savepoint,
    .xRelease = tx_transaction_release,
    .xRollbackTo = tx_transaction_rollback_to,
};

int
tx_module_register(struct tx_connection *connection)
{
    int rc = sqlite3_create_module_v2(connection->db, "txkv", &module.methods,
                                      tx_connection_ref(connection), tx_connection_unref);

    if (rc == SQLITE_OK)
        rc = sqlite3_create_module_v2(connection->db, TX_TRANSACTION_TABLE, &internal_module,
                                      tx_connection_ref(connection), tx_connection_unref);
    return rc;
}
