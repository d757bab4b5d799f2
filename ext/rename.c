/*
 * rename.c - ALTER TABLE ... RENAME TO of a table that bears its SQL name in the store.
 */
#include "rename.h"

#include <string.h>

#include "relation.h"
#include "shape.h"
#include "sqlerror.h"
#include "transaction.h"

struct tx_rename {
    struct tx_rename *older;
    struct tx_link *link;
    char *from, *to;
    int savepoint; /* the highest that was set */
    bool made;
    int count;
    uint32_t numbers[1 + TX_INDEXES_MAX]; /* the table, and its indexes in order */
};

static void
free_rename(struct tx_rename *rename)
{
    sqlite3_free(rename->from);
    sqlite3_free(rename->to);
    sqlite3_free(rename);
}

const char *
tx_rename_stored(const struct tx_link *link, const char *name)
{
    const char *stored = name;

    for (const struct tx_rename *r = link->connection->renames; r != NULL; r = r->older) {
        if (r->link != link)
            continue;
        if (strcmp(r->to, stored) == 0) {
            if (r->made)
                return stored;
            stored = r->from;
        } else if (stored == name && strcmp(r->from, name) == 0)
            return NULL;
    }
    return stored;
}

/* ---- noting ---- */

static int
refuse_taken(struct tx_table *table, const char *name)
{
    return tx_sql_refuse(
        &table->base.zErrMsg, SQLITE_ERROR,
        "%s: the store has another table %s, and a table without the option table= "
        "has its own name there; take another name, or drop that one first: SELECT "
        "txkv_drop('%s', '%s')",
        table->name, name, txkv_dir(table->link->store), name);
}

/* Whether the new name can be had, as far as it can be told before the COMMIT. */
static int
check_name(struct tx_table *table, const char *name)
{
    const char *stored = tx_rename_stored(table->link, name);
    struct txkv_error err;
    uint32_t number;
    enum txkv_rc rc;

    if (stored == NULL)
        return SQLITE_OK; /* whose it was has another one by the COMMIT */
    if (stored != name)
        return refuse_taken(table, name);
    if (!tx_relation_name_fits(table, name))
        return tx_sql_refuse(&table->base.zErrMsg, SQLITE_ERROR,
                             "%s: the new name cannot be one in the store: it has a control "
                             "character, or more than %d bytes",
                             table->name, (int)TXKV_TABLE_NAME_BYTES_MAX);
    rc = txkv_table(table->link->store, name, NULL, false, &number, &err);
    if (rc == TXKV_SCHEMA)
        return SQLITE_OK;
    return rc == TXKV_OK ? refuse_taken(table, name) : tx_table_fail(table, rc, &err);
}

static struct tx_rename *
new_rename(const struct tx_table *table, const char *from, const char *to)
{
    const struct tx_relation *relation = table->relation;
    struct tx_rename *rename = sqlite3_malloc(sizeof(*rename));

    if (rename == NULL)
        return NULL;
    *rename = (struct tx_rename){ .link = table->link,
                                  .savepoint = table->connection->savepoint,
                                  .count = 1,
                                  .numbers = { table->number } };
    rename->from = sqlite3_mprintf("%s", from);
    rename->to = sqlite3_mprintf("%s", to);
    for (int i = 0; relation != NULL && i < relation->shape->index_count; i++)
        rename->numbers[rename->count++] = relation->index_numbers[i];
    if (rename->from != NULL && rename->to != NULL)
        return rename;
    free_rename(rename);
    return NULL;
}

int
tx_rename_note(struct tx_table *table, const char *name)
{
    struct tx_connection *connection = table->connection;
    struct tx_rename *rename;
    int rc = check_name(table, name);

    /* So that xSync comes, and the link stays until then. */
    if (rc == SQLITE_OK && !connection->enlisted)
        rc = tx_transaction_enlist(table);
    if (rc == SQLITE_OK)
        rc = tx_transaction_read(table);
    if (rc != SQLITE_OK)
        return rc;
    rename = new_rename(table, table->name, name);
    if (rename == NULL)
        return SQLITE_NOMEM;
    rename->older = connection->renames;
    connection->renames = rename;
    return SQLITE_OK;
}

/* ---- making and undoing ---- */

static enum txkv_rc
rename_in_store(const struct tx_rename *rename, const char *name, struct txkv_error *err)
{
    char *names[1 + TX_INDEXES_MAX] = { NULL };
    enum txkv_rc rc = TXKV_OK;

    for (int i = 0; i < rename->count; i++) {
        names[i] = tx_relation_stored_name(name, i);
        if (names[i] == NULL) {
            *err = (struct txkv_error){ TXKV_NOMEM, "out of memory" };
            rc = TXKV_NOMEM;
        }
    }
    if (rc == TXKV_OK)
        rc = txkv_table_rename(rename->link->store, rename->numbers, (const char *const *)names,
                               (size_t)rename->count, err);
    for (int i = 0; i < rename->count; i++)
        sqlite3_free(names[i]);
    return rc;
}

void
tx_rename_undo(struct tx_connection *connection)
{
    for (struct tx_rename *r = connection->renames; r != NULL; r = r->older) {
        struct txkv_error err;

        /* What cannot be undone leaves a table that is found under its new name: nothing is lost.
         */
        if (r->made)
            (void)!rename_in_store(r, r->from, &err);
        r->made = false;
    }
}

/* The oldest that is not made yet. */
static struct tx_rename *
next_to_make(const struct tx_connection *connection)
{
    struct tx_rename *next = NULL;

    for (struct tx_rename *r = connection->renames; r != NULL; r = r->older)
        if (!r->made)
            next = r;
    return next;
}

int
tx_rename_make(struct tx_table *table)
{
    struct tx_connection *connection = table->connection;
    struct tx_rename *rename;

    while ((rename = next_to_make(connection)) != NULL) {
        struct txkv_error err;
        const enum txkv_rc rc = rename_in_store(rename, rename->to, &err);

        if (rc != TXKV_OK) {
            tx_rename_undo(connection);
            return tx_sql_fail(&table->base.zErrMsg, rename->to, rc, &err);
        }
        rename->made = true;
    }
    return SQLITE_OK;
}

void
tx_rename_end(struct tx_connection *connection)
{
    while (connection->renames != NULL) {
        struct tx_rename *rename = connection->renames;

        connection->renames = rename->older;
        free_rename(rename);
    }
}

/* ---- savepoints ---- */

void
tx_rename_release(struct tx_connection *connection, int n)
{
    for (struct tx_rename *r = connection->renames; r != NULL; r = r->older)
        if (r->savepoint >= n)
            r->savepoint = n - 1;
}

void
tx_rename_rollback_to(struct tx_connection *connection, int n)
{
    tx_rename_undo(connection);
    while (connection->renames != NULL && connection->renames->savepoint >= n) {
        struct tx_rename *rename = connection->renames;

        connection->renames = rename->older;
        free_rename(rename);
    }
}
