/*
 * sql.c - see sql.h.
 */
#include "sql.h"

#include <stdarg.h>
#include <stdlib.h>

#include "support.h"

sqlite3 *
sql_open(int extension)
{
    return sql_open_with(extension, 0);
}

sqlite3 *
sql_open_with(int extension, int flags)
{
    sqlite3 *db = NULL;
    const char *file = getenv("TXKV_SO");
    char *message = NULL;

    if (file == NULL)
        file = "./txkv.so";
    flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(":memory:", &db, flags, NULL) != SQLITE_OK)
        test_die("sqlite3_open: %s", sqlite3_errmsg(db));
    (void)sqlite3_extended_result_codes(db, 1);
    if (!extension)
        return db;
    (void)sqlite3_enable_load_extension(db, 1);
    if (sqlite3_load_extension(db, file, "sqlite3_txkv_init", &message) != SQLITE_OK)
        test_die("load %s: %s", file, message != NULL ? message : "");
    return db;
}

static int
run(sqlite3 *db, const char *format, va_list args)
{
    char *text = sqlite3_vmprintf(format, args);
    int rc;

    if (text == NULL)
        test_die("out of memory");
    rc = sqlite3_exec(db, text, NULL, NULL, NULL);
    sqlite3_free(text);
    return rc;
}

int
sql_try(sqlite3 *db, const char *format, ...)
{
    va_list args;
    int rc;

    va_start(args, format);
    rc = run(db, format, args);
    va_end(args);
    return rc;
}

void
sql_run(sqlite3 *db, const char *format, ...)
{
    va_list args;
    int rc;

    va_start(args, format);
    rc = run(db, format, args);
    va_end(args);
    if (rc != SQLITE_OK)
        test_die("%s: error %d: %s", format, rc, sqlite3_errmsg(db));
}

sqlite3_stmt *
sql_prepare(sqlite3 *db, const char *text)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(db, text, -1, &statement, NULL) != SQLITE_OK)
        test_die("%s: %s", text, sqlite3_errmsg(db));
    return statement;
}

void
sql_execute(sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        test_die("%s: %s", sqlite3_sql(statement), sqlite3_errmsg(sqlite3_db_handle(statement)));
    (void)sqlite3_reset(statement);
}
