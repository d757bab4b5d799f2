/*
 * connection.c - what one SQLite connection has open: its links to stores, and its tables.
 */
#include "connection.h"

#include <string.h>

#include "sqlerror.h"

struct tx_connection *
tx_connection_new(sqlite3 *db)
{
    struct tx_connection *connection = sqlite3_malloc(sizeof(*connection));

    if (connection != NULL)
        *connection = (struct tx_connection){ .db = db, .refs = 1, .savepoint = -1 };
    return connection;
}

struct tx_connection *
tx_connection_ref(struct tx_connection *connection)
{
    connection->refs++;
    return connection;
}

static void
close_link(struct tx_link *link)
{
    struct tx_link **place = &link->connection->links;

    while (*place != link)
        place = &(*place)->next;
    *place = link->next;
    txkv_session_close(link->session);
    /* A failed checkpoint loses nothing, the log has it all; and nobody is left to be told. */
    (void)txkv_close(link->store, NULL);
    sqlite3_free(link->decider);
    sqlite3_free(link);
}

void
tx_connection_unref(void *connection)
{
    struct tx_connection *c = connection;

    if (--c->refs > 0)
        return;
    while (c->links != NULL)
        close_link(c->links);
    sqlite3_free(c);
}

static struct tx_link *
find_link(struct tx_connection *connection, const char *dir)
{
    struct tx_link *link = connection->links;

    while (link != NULL && strcmp(txkv_dir(link->store), dir) != 0)
        link = link->next;
    return link;
}

static enum txkv_rc
make_link(struct tx_connection *connection, struct txkv *store, struct tx_link **out,
          struct txkv_error *err)
{
    struct tx_link *link = sqlite3_malloc(sizeof(*link));
    struct tx_link **end = &connection->links;
    enum txkv_rc rc;

    if (link == NULL) {
        *err = (struct txkv_error){ TXKV_NOMEM, "out of memory" };
        return TXKV_NOMEM;
    }
    *link = (struct tx_link){ .connection = connection, .store = store };
    rc = txkv_session_open(store, &link->session, err);
    if (rc != TXKV_OK) {
        sqlite3_free(link);
        return rc;
    }
    while (*end != NULL) /* at the end, so that reports come in the order of opening */
        end = &(*end)->next;
    *end = link;
    *out = link;
    return TXKV_OK;
}

enum txkv_rc
tx_link_open(struct tx_connection *connection, const char *dir, const struct txkv_options *options,
             struct tx_link **out, struct txkv_error *err)
{
    struct txkv *store;
    enum txkv_rc rc = txkv_open(dir, options, &store, err);

    *out = NULL;
    if (rc != TXKV_OK)
        return rc;
    /* However the directory was written, all handles of one store have the same txkv_dir. */
    *out = find_link(connection, txkv_dir(store));
    if (*out == NULL) {
        rc = make_link(connection, store, out, err);
        if (rc == TXKV_OK)
            return TXKV_OK;
    }
    (void)txkv_close(store, NULL);
    return rc;
}

void
tx_link_drop(struct tx_link *link)
{
    if (link->tables > 0)
        return;
    if (link->begun)
        link->dropped = true;
    else
        close_link(link);
}

struct tx_table *
tx_connection_find(struct tx_connection *connection, const char *name)
{
    struct tx_table *table = connection->tables;

    while (table != NULL && sqlite3_stricmp(table->name, name) != 0)
        table = table->next;
    return table;
}

/* The store speaks of an index by its own name, which means nothing in SQL: its table is meant. */
int
tx_table_fail(struct tx_table *table, enum txkv_rc rc, const struct txkv_error *err)
{
    const char *index = strchr(err->text, TX_INDEX_SEPARATOR);
    const char *rest = index == NULL ? "" : index + 1 + strspn(index + 1, "0123456789");
    const int head = (int)(index == NULL ? strlen(err->text) : (size_t)(index - err->text));

    return tx_sql_refuse(&table->base.zErrMsg, tx_sql_code(rc), "%s: %.*s%s", table->name, head,
                         err->text, rest);
}
