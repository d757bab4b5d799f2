/*
 * transaction.c - SQLite's transaction, carried over to the stores of the connection.
 */
#include "transaction.h"

#include <string.h>

#include "prepared.h"
#include "relation.h"
#include "rename.h"
#include "scan.h"
#include "sqlerror.h"

#define CREATE_SQL                                                                                 \
    "CREATE VIRTUAL TABLE IF NOT EXISTS temp." TX_TRANSACTION_TABLE " USING " TX_TRANSACTION_TABLE
#define ENLIST_SQL "DELETE FROM temp." TX_TRANSACTION_TABLE " WHERE 0"

static struct tx_table *
table_of(sqlite3_vtab *vtab)
{
    return (struct tx_table *)vtab;
}

/* Put the link's session into a transaction. */
static int
begin_link(struct tx_table *table)
{
    struct tx_link *link = table->link;
    struct txkv_error err;
    const enum txkv_rc rc = txkv_begin(link->session, &err);

    if (rc != TXKV_OK)
        return tx_table_fail(table, rc, &err);
    link->begun = true;
    link->wrote = false;
    link->sync = TXKV_SYNC_OFF;
    txkv_set_isolation(link->session, TXKV_SNAPSHOT);
    return SQLITE_OK;
}

/* A transaction is serializable unless all the tables that it uses are content with less. */
static void
use_table(const struct tx_table *table)
{
    if (table->isolation == TXKV_SERIALIZABLE)
        txkv_set_isolation(table->link->session, TXKV_SERIALIZABLE);
}

int
tx_transaction_begin(sqlite3_vtab *vtab)
{
    struct tx_table *table = table_of(vtab);

    if (table->link != NULL && !table->link->begun) {
        const int rc = begin_link(table);

        if (rc != SQLITE_OK)
            return rc;
    }
    table->connection->enlisted = true;
    table->connection->may_update = table->connection->may_update || table->link != NULL;
    return SQLITE_OK;
}

/* The transaction goes on after a COMMIT that failed: nobody waits for it meanwhile. */
static enum txkv_rc
take_back(struct tx_link *link, struct txkv_error *err)
{
    link->prepared = false;
    return txkv_unprepare(link->session, err);
}

/* The link's part is committed with the file of the first table that has one. */
static int
choose_decider(struct tx_link *link, const struct tx_table *table)
{
    if (link->decider != NULL || table->schema == NULL)
        return SQLITE_OK;
    link->decider = sqlite3_mprintf("%s", table->schema);
    return link->decider == NULL ? SQLITE_NOMEM : SQLITE_OK;
}

int
tx_transaction_write(struct tx_table *table)
{
    struct tx_link *link = table->link;

    /* SQLite leaves xBegin out after xCreate; and a COMMIT that failed after its xSync leaves the
     * transaction open. */
    if (!link->begun) {
        const int rc = tx_transaction_begin(&table->base);

        if (rc != SQLITE_OK)
            return rc;
    }
    if (link->prepared) {
        struct txkv_error err;
        const enum txkv_rc rc = take_back(link, &err);

        if (rc != TXKV_OK)
            return tx_table_fail(table, rc, &err);
    }
    if (choose_decider(link, table) != SQLITE_OK)
        return SQLITE_NOMEM;
    use_table(table);
    link->wrote = true;
    if (table->sync > link->sync)
        link->sync = table->sync;
    return link->cursors == NULL ? SQLITE_OK : tx_scan_keep_rows(link);
}

int
tx_transaction_read(struct tx_table *table)
{
    struct tx_connection *connection = table->connection;
    int rc = SQLITE_OK;

    if (!table->link->begun) {
        if (!connection->enlisted) {
            if (sqlite3_get_autocommit(connection->db))
                return SQLITE_OK;
            rc = tx_transaction_enlist(table);
        }
        if (rc == SQLITE_OK)
            rc = begin_link(table);
    }
    if (rc == SQLITE_OK)
        use_table(table);
    return rc;
}

/* ---- the end ---- */

static enum txkv_rc
commit_link(struct tx_link *link, struct txkv_error *err)
{
    enum txkv_rc rc;

    if (tx_scan_keep_rows(link) != SQLITE_OK) {
        *err = (struct txkv_error){ TXKV_NOMEM, "out of memory" };
        return TXKV_NOMEM;
    }
    rc = txkv_commit(link->session, link->sync, err);
    if (rc == TXKV_OK)
        link->begun = false;
    return rc;
}

/* As tx_table_fail; a conflict is told in SQL's terms, table and key by name. */
static int
fail_commit(struct tx_table *table, struct tx_link *link, enum txkv_rc rc,
            const struct txkv_error *err)
{
    const struct tx_table *about = table->connection->tables;
    struct txkv_bytes key;
    uint32_t number;
    char text[128];

    if (rc != TXKV_CONFLICT || !txkv_conflict(link->session, &number, &key))
        return tx_table_fail(table, rc, err);
    while (about != NULL && (about->link != link || !tx_relation_owns(about, number)))
        about = about->next;
    if (about == NULL)
        tx_key_describe(key.data, key.bytes, text, sizeof(text));
    else
        tx_relation_describe(about, number, key, text, sizeof(text));
    return tx_sql_refuse(
        &table->base.zErrMsg, tx_sql_code(rc),
        "%s: key %s was changed by another transaction after this one read it; run "
        "the transaction again",
        about == NULL ? table->name : about->name, text);
}

/*
 * The first step. What was written and undone again leaves nothing to prepare, and no row: if an
 * earlier COMMIT wrote one, going back before the write has undone that too.
 */
static int
prepare_link(struct tx_table *table, struct tx_link *link)
{
    sqlite3 *db = table->connection->db;
    const char *file = tx_prepared_file(db, link->decider);
    const struct txkv_bytes note = { (const uint8_t *)file, file == NULL ? 0 : strlen(file) };
    struct txkv_error err;
    enum txkv_rc rc;
    uint64_t lsn;
    int sql_rc;

    if (tx_scan_keep_rows(link) != SQLITE_OK)
        return SQLITE_NOMEM;
    rc = txkv_prepare(link->session, note, &err);
    if (rc != TXKV_OK)
        return fail_commit(table, link, rc, &err);
    lsn = txkv_prepared_lsn(link->session);
    link->prepared = true;
    link->deletes_journal = lsn != 0 && tx_prepared_deletes_journal(db, link->decider);
    if (lsn == 0)
        return SQLITE_OK;
    sql_rc = tx_prepared_mark(db, link->decider, txkv_store_id(link->store), lsn);
    if (sql_rc == SQLITE_OK || sql_rc == SQLITE_NOMEM)
        return sql_rc;
    return tx_sql_refuse(
        &table->base.zErrMsg, sql_rc,
        "%s: cannot write to %s." TX_PREPARED_TABLE
        ", which a commit together with native tables needs: %s; if it is missing, "
        "DROP TABLE %s and create it again, which keeps the rows",
        table->name, link->decider, sqlite3_errmsg(db), table->name);
}

/* In the order of the stores' ids, which is the same everywhere: so no two connections that prepare
 * several stores wait for each other. */
static struct tx_link *
next_to_prepare(const struct tx_connection *connection)
{
    struct tx_link *next = NULL;

    for (struct tx_link *link = connection->links; link != NULL; link = link->next)
        if (link->begun && link->wrote && link->decider != NULL && !link->prepared &&
            (next == NULL || txkv_store_id(link->store) < txkv_store_id(next->store)))
            next = link;
    return next;
}

/* What can fail and be taken back comes first. */
static int
sync_links(struct tx_table *table)
{
    struct tx_link *link;
    int rc = tx_rename_make(table);

    while (rc == SQLITE_OK && (link = next_to_prepare(table->connection)) != NULL)
        rc = prepare_link(table, link);
    for (link = table->connection->links; rc == SQLITE_OK && link != NULL; link = link->next) {
        struct txkv_error err;
        enum txkv_rc store_rc;

        if (!link->begun || !link->wrote || link->prepared)
            continue;
        store_rc = commit_link(link, &err);
        if (store_rc != TXKV_OK)
            rc = fail_commit(table, link, store_rc, &err);
    }
    return rc;
}

int
tx_transaction_sync(sqlite3_vtab *vtab)
{
    struct tx_table *table = table_of(vtab);
    const int rc = sync_links(table);

    if (rc == SQLITE_OK)
        return rc;
    for (struct tx_link *link = table->connection->links; link != NULL; link = link->next)
        if (link->prepared)
            (void)!take_back(link, NULL); /* fails only in a forked child, which has done nothing */
    tx_rename_undo(table->connection);
    return rc;
}

static void
commit_prepared(sqlite3 *db, struct tx_link *link)
{
    const char *file = link->deletes_journal ? tx_prepared_file(db, link->decider) : NULL;

    if (file != NULL)
        tx_prepared_sync_directory(file);
    txkv_commit_prepared(link->session);
}

static void
end_transaction(struct tx_connection *connection, bool commit)
{
    struct tx_link *next;

    for (struct tx_link *link = connection->links; link != NULL; link = link->next) {
        if (link->begun) {
            /* A cursor whose row there is no memory for says so itself when it is asked for it. */
            (void)tx_scan_keep_rows(link);
            if (commit && link->prepared)
                commit_prepared(connection->db, link);
            else
                txkv_rollback(link->session);
            link->begun = link->prepared = false;
            sqlite3_free(link->decider);
            link->decider = NULL;
        }
    }
    if (!commit)
        tx_rename_undo(connection);
    tx_rename_end(connection);
    for (struct tx_link *link = connection->links; link != NULL; link = next) {
        next = link->next;
        if (link->dropped)
            tx_link_drop(link);
    }
    connection->enlisted = false;
    connection->may_update = false;
    connection->savepoint = -1;
}

int
tx_transaction_commit(sqlite3_vtab *vtab)
{
    end_transaction(table_of(vtab)->connection, true);
    return SQLITE_OK;
}

int
tx_transaction_rollback(sqlite3_vtab *vtab)
{
    end_transaction(table_of(vtab)->connection, false);
    return SQLITE_OK;
}

/* ---- savepoints ---- */

/*
 * Call one of the store's savepoint functions for every store in the transaction. A store that
 * joined after savepoint n was set does not know it, and rolls back to its own start: right, for it
 * had written nothing then. All are told, even if one fails: they must agree on what is set. SQLite
 * asks for no message here.
 */
static int
for_each_link(struct tx_connection *connection, int n,
              enum txkv_rc (*call)(struct txkv_session *, int, struct txkv_error *))
{
    enum txkv_rc first = TXKV_OK;

    for (struct tx_link *link = connection->links; link != NULL; link = link->next) {
        struct txkv_error err;
        enum txkv_rc rc = TXKV_OK;

        if (!link->begun)
            continue;
        if (link->prepared)
            rc = take_back(link, &err);
        if (rc == TXKV_OK)
            rc = call(link->session, n, &err);
        if (first == TXKV_OK)
            first = rc;
    }
    return tx_sql_code(first);
}

int
tx_transaction_savepoint(sqlite3_vtab *vtab, int n)
{
    struct tx_connection *connection = table_of(vtab)->connection;
    int rc;

    /* SQLite tells every table, and tells it to one that joins late too: by then rows may have been
     * written through another, which must not move behind the savepoint. */
    if (n <= connection->savepoint)
        return SQLITE_OK;
    rc = for_each_link(connection, n, txkv_savepoint);
    if (rc == SQLITE_OK)
        connection->savepoint = n;
    return rc;
}

int
tx_transaction_release(sqlite3_vtab *vtab, int n)
{
    struct tx_connection *connection = table_of(vtab)->connection;

    if (n > connection->savepoint)
        return SQLITE_OK;
    connection->savepoint = n - 1;
    tx_rename_release(connection, n);
    return for_each_link(connection, n, txkv_release);
}

int
tx_transaction_rollback_to(sqlite3_vtab *vtab, int n)
{
    struct tx_connection *connection = table_of(vtab)->connection;

    for (struct tx_link *link = connection->links; link != NULL; link = link->next)
        if (link->begun)
            (void)tx_scan_keep_rows(link);
    tx_rename_rollback_to(connection, n);
    if (n < connection->savepoint)
        connection->savepoint = n;
    return for_each_link(connection, n, txkv_rollback_to);
}

/* ---- enlisting a transaction that only reads ---- */

/* Run the cached statement, preparing it when there is none. */
static int
run_enlist(struct tx_connection *connection)
{
    int rc = SQLITE_OK;

    if (connection->enlist == NULL)
        rc = sqlite3_prepare_v3(connection->db, ENLIST_SQL, -1, SQLITE_PREPARE_PERSISTENT,
                                &connection->enlist, NULL);
    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_step(connection->enlist);
    return sqlite3_reset(connection->enlist);
}

int
tx_transaction_enlist(struct tx_table *table)
{
    struct tx_connection *connection = table->connection;
    int rc = run_enlist(connection);

    if (rc == SQLITE_ERROR) { /* no such table: never made, or a rollback took it away */
        tx_transaction_forget(connection);
        rc = sqlite3_exec(connection->db, CREATE_SQL, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            rc = run_enlist(connection);
    }
    if (rc == SQLITE_NOMEM)
        return rc;
    if (rc != SQLITE_OK)
        return tx_sql_refuse(&table->base.zErrMsg, rc,
                             "%s: cannot give this transaction one snapshot, for it needs to run "
                             "\"" ENLIST_SQL "\": %s; allow that statement, or read outside of "
                             "BEGIN and COMMIT",
                             table->name, sqlite3_errmsg(connection->db));
    if (!connection->enlisted)
        return tx_sql_refuse(&table->base.zErrMsg, SQLITE_ERROR,
                             "%s: temp." TX_TRANSACTION_TABLE
                             " is not txkv's own table: rename or drop it",
                             table->name);
    return SQLITE_OK;
}

int
tx_transaction_prepare(struct tx_connection *connection)
{
    return sqlite3_exec(connection->db, CREATE_SQL, NULL, NULL, NULL);
}

void
tx_transaction_forget(struct tx_connection *connection)
{
    sqlite3_finalize(connection->enlist);
    connection->enlist = NULL;
}
