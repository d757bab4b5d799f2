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

/* Run statements; the extended result code. */
__attribute__((format(printf, 2, 3))) int sql_try(sqlite3 *db, const char *format, ...);

/* The same; dies when it fails. */
__attribute__((format(printf, 2, 3))) void sql_run(sqlite3 *db, const char *format, ...);

#endif /* TXKV_TEST_SQL_H */
