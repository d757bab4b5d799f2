/*
 * prepared.c - one commit of a store and of a database file.
 */
#include "prepared.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { BUSY_WAIT_MS = 1000 };

static int
run_and_free(sqlite3 *db, char *sql)
{
    const int rc = sql == NULL ? SQLITE_NOMEM : sqlite3_exec(db, sql, NULL, NULL, NULL);

    sqlite3_free(sql);
    return rc;
}

/* A database of the memdb VFS has a name and no file; that VFS says where in memory it is, too. */
static bool
is_in_memory(sqlite3 *db, const char *schema)
{
    char *vfs = NULL;
    bool in_memory;

    if (sqlite3_file_control(db, schema, SQLITE_FCNTL_VFSNAME, (void *)&vfs) != SQLITE_OK)
        return false;
    in_memory = vfs != NULL && sqlite3_strnicmp(vfs, "memdb", 5) == 0;
    sqlite3_free(vfs);
    return in_memory;
}

const char *
tx_prepared_file(sqlite3 *db, const char *schema)
{
    const char *file = sqlite3_db_filename(db, schema);

    return file == NULL || file[0] == '\0' || is_in_memory(db, schema) ? NULL : file;
}

int
tx_prepared_create(sqlite3 *db, const char *schema)
{
    /* A table of somebody else's with that name shows here, not at the first COMMIT. */
    return run_and_free(
        db, sqlite3_mprintf("CREATE TABLE IF NOT EXISTS \"%w\"." TX_PREPARED_TABLE
                            "(store INTEGER, lsn INTEGER, PRIMARY KEY(store, lsn)) WITHOUT ROWID; "
                            "SELECT store, lsn FROM \"%w\"." TX_PREPARED_TABLE " LIMIT 0",
                            schema, schema));
}

bool
tx_prepared_deletes_journal(sqlite3 *db, const char *schema)
{
    char *sql = sqlite3_mprintf("PRAGMA \"%w\".journal_mode", schema);
    sqlite3_stmt *statement = NULL;
    const char *mode = NULL;
    bool deletes;

    if (sql != NULL && sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        mode = (const char *)sqlite3_column_text(statement, 0);
    deletes = mode == NULL || sqlite3_stricmp(mode, "delete") == 0;
    (void)sqlite3_finalize(statement);
    sqlite3_free(sql);
    return deletes;
}

void
tx_prepared_sync_directory(const char *file)
{
    const char *slash = strrchr(file, '/');
    char *dir = slash == NULL ? NULL : sqlite3_mprintf("%.*s", (int)(slash - file) + 1, file);
    const int fd = dir == NULL ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    sqlite3_free(dir);
}

int
tx_prepared_mark(sqlite3 *db, const char *schema, uint64_t store_id, uint64_t lsn)
{
    const sqlite3_int64 store = (sqlite3_int64)store_id, at = (sqlite3_int64)lsn;

    return run_and_free(db, sqlite3_mprintf("DELETE FROM \"%w\"." TX_PREPARED_TABLE
                                            " WHERE store = %lld AND lsn <> %lld; "
                                            "INSERT OR REPLACE INTO \"%w\"." TX_PREPARED_TABLE
                                            " VALUES(%lld, %lld)",
                                            schema, store, at, schema, store, at));
}

/* ---- the resolver ---- */

/* The first column of the first row, *found; SQLite's code when there is no telling. */
static int
look_up(sqlite3 *db, char *sql, bool *found, sqlite3_int64 *value)
{
    sqlite3_stmt *statement = NULL;
    int rc = sql == NULL ? SQLITE_NOMEM : sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    sqlite3_free(sql);
    *found = false;
    if (rc != SQLITE_OK)
        return rc;
    *found = sqlite3_step(statement) == SQLITE_ROW;
    if (*found)
        *value = sqlite3_column_int64(statement, 0);
    return sqlite3_finalize(statement);
}

/* A row of a later LSN cannot be there before this one is decided: the file is another one's, or
 * the store is an older copy. */
static enum txkv_decision
decide(sqlite3 *db, sqlite3_int64 store, sqlite3_int64 lsn)
{
    sqlite3_int64 value = 0;
    bool found;

    if (look_up(db,
                sqlite3_mprintf("SELECT 1 FROM main.sqlite_schema WHERE name = '" TX_PREPARED_TABLE
                                "' AND sql LIKE 'CREATE TABLE%%'"),
                &found, &value) != SQLITE_OK)
        return TXKV_UNDECIDED;
    if (!found)
        return TXKV_DECIDED_ABORT;
    if (look_up(db,
                sqlite3_mprintf("SELECT lsn FROM main." TX_PREPARED_TABLE
                                " WHERE store = %lld AND lsn >= %lld ORDER BY lsn LIMIT 1",
                                store, lsn),
                &found, &value) != SQLITE_OK)
        return TXKV_UNDECIDED;
    if (!found)
        return TXKV_DECIDED_ABORT;
    return value == lsn ? TXKV_DECIDED_COMMIT : TXKV_UNDECIDED;
}

/*
 * SQLITE_OPEN_READWRITE, without CREATE: what a dead process left of its transaction, a journal or
 * a WAL, is brought to its end first.
 */
enum txkv_decision
tx_prepared_resolve(void *arg, const char *dir, uint64_t store_id, uint64_t lsn,
                    struct txkv_bytes note)
{
    enum txkv_decision decision = TXKV_UNDECIDED;
    char *file = sqlite3_mprintf("%.*s", (int)note.bytes, (const char *)note.data);
    sqlite3 *db = NULL;

    (void)arg;
    (void)dir;
    if (file != NULL && file[0] == '/' &&
        sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
        (void)sqlite3_busy_timeout(db, BUSY_WAIT_MS);
        decision = decide(db, (sqlite3_int64)store_id, (sqlite3_int64)lsn);
        tx_prepared_sync_directory(file); /* else a power cut could bring a journal back */
    }
    (void)sqlite3_close(db);
    sqlite3_free(file);
    return decision;
}
