/*
 * sql.h - connections with txkv.so loaded, for the tests that go through SQL.
 *
 * The extension is $TXKV_SO, else ./txkv.so. Threads: one a connection at a time.
 */
#ifndef TXKV_TEST_SQL_H
#define TXKV_TEST_SQL_H

#include <sqlite3.h>
#include <stdint.h>

/* A :memory: connection; with the extension when `extension` is true. Dies when that fails. */
sqlite3 *sql_open(int extension);
/* The same with more flags of sqlite3_open_v2: SQLITE_OPEN_NOMUTEX, SQLITE_OPEN_FULLMUTEX. */
sqlite3 *sql_open_with(int extension, int flags);

/* Run statements; the extended result code. */
__attribute__((format(printf, 2, 3))) int sql_try(sqlite3 *db, const char *format, ...);

/* The same; dies when it fails. */
__attribute__((format(printf, 2, 3))) void sql_run(sqlite3 *db, const char *format, ...);

/* A prepared statement; dies when there is none. */
sqlite3_stmt *sql_prepare(sqlite3 *db, const char *text);

/* Run a statement that returns no row, and make it ready to run again; dies when it fails. */
void sql_execute(sqlite3_stmt *statement);

#endif /* TXKV_TEST_SQL_H */
