/*
 * init.c - the extension's entry point.
 */
#include "init.h"

#include <pthread.h>
#include <stdbool.h>

#include "connection.h"
#include "functions.h"
#include "module.h"
#include "stats.h"
#include "tables.h"
#include "transfer.h"

SQLITE_EXTENSION_INIT1

#ifdef SQLITE_CORE
#define LOADED SQLITE_OK
#else
#define LOADED SQLITE_OK_LOAD_PERMANENTLY
#endif

/* The oldest SQLite with sqlite3_vtab_distinct() and its siblings. */
enum { SQLITE_VERSION_MIN = 3038000 };

/*
 * A second state for one connection would have transactions of its own. The pragma neither reads
 * the schema nor fails, as looking for one of the functions would: sqlite3_open takes an error left
 * behind in an automatic extension for its own.
 */
static bool
is_loaded(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    bool found = false;

    (void)sqlite3_prepare_v2(db, "PRAGMA module_list", -1, &statement, NULL);
    while (!found && sqlite3_step(statement) == SQLITE_ROW)
        found = sqlite3_stricmp((const char *)sqlite3_column_text(statement, 0), "txkv") == 0;
    sqlite3_finalize(statement);
    return found;
}

/* SQLITE_EXTENSION_INIT2, for connections of several threads that load the extension at once. */
static void
set_api(const sqlite3_api_routines *api)
{
#ifdef SQLITE_CORE
    (void)api;
#else
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

    (void)pthread_mutex_lock(&mutex);
    if (sqlite3_api != api)
        sqlite3_api = api;
    (void)pthread_mutex_unlock(&mutex);
#endif
}

int
sqlite3_txkv_init(sqlite3 *db, char **message, const sqlite3_api_routines *api)
{
    struct tx_connection *connection;
    int rc;

    set_api(api);
    if (sqlite3_libversion_number() < SQLITE_VERSION_MIN) {
        if (message != NULL)
            *message = sqlite3_mprintf("txkv needs SQLite 3.38.0 or newer, and this is %s: upgrade "
                                       "SQLite, or build the program with a newer one",
                                       sqlite3_libversion());
        return SQLITE_ERROR;
    }
    if (is_loaded(db))
        return LOADED;
    connection = tx_connection_new(db);
    if (connection == NULL)
        return SQLITE_NOMEM;
    rc = tx_module_register(connection);
    if (rc == SQLITE_OK)
        rc = tx_stats_table_register(connection);
    if (rc == SQLITE_OK)
        rc = tx_tables_register(connection);
    if (rc == SQLITE_OK)
        rc = tx_quickscan_register(connection);
    if (rc == SQLITE_OK)
        rc = tx_logtable_register(connection);
    if (rc == SQLITE_OK)
        rc = tx_functions_register(connection);
    if (rc == SQLITE_OK)
        rc = tx_transfer_register(connection);
    tx_connection_unref(connection);
    return rc == SQLITE_OK ? LOADED : rc;
}
