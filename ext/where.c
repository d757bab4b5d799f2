/*
 * where.c - the store that a function's argument names.
 */
#include "where.h"

#include "prepared.h"
#include "relation.h"
#include "sqlerror.h"

struct tx_table *
tx_where_table(struct tx_connection *connection, const char *name)
{
    struct tx_table *table = tx_connection_find(connection, name);
    sqlite3_stmt *statement = NULL;
    char *sql;

    if (table != NULL)
        return table;
    sql = sqlite3_mprintf("SELECT NULL FROM \"%w\"", name);
    if (sql != NULL)
        (void)sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);
    sqlite3_finalize(statement);
    sqlite3_free(sql);
    return tx_connection_find(connection, name);
}

int
tx_where_open(struct tx_connection *connection, const char *who, const char *where,
              struct txkv **store, char **message)
{
    const struct txkv_options options = { .must_exist = true, .resolve = tx_prepared_resolve };
    const struct tx_table *table = tx_where_table(connection, where);
    struct txkv_error err;
    const enum txkv_rc rc =
        txkv_open(table != NULL ? txkv_dir(table->link->store) : where, &options, store, &err);

    if (rc == TXKV_CANTOPEN)
        return tx_sql_refuse(message, SQLITE_CANTOPEN,
                             "%s: \"%s\" is neither a txkv table of this connection nor a "
                             "store that can be opened: %s",
                             who, where, err.text);
    return rc == TXKV_OK ? SQLITE_OK : tx_sql_fail(message, who, rc, &err);
}

int
tx_where_find(struct txkv *store, const char *who, const char *name, uint32_t *table,
              char **message)
{
    struct txkv_error err;
    enum txkv_rc rc;

    if (tx_relation_is_index(name))
        return tx_sql_refuse(message, SQLITE_ERROR,
                             "%s: that is an index's name, which is part of its table: name the "
                             "table",
                             who);
    rc = txkv_table(store, name, NULL, false, table, &err);
    if (rc == TXKV_SCHEMA)
        return tx_sql_refuse(
            message, SQLITE_ERROR,
            "%s: %s; SELECT name FROM txkv_tables('%s') lists those that are there", who, err.text,
            txkv_dir(store));
    return rc == TXKV_OK ? SQLITE_OK : tx_sql_fail(message, who, rc, &err);
}
