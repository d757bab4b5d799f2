/*
 * sql_fixture.h - connections with txkv tables, for tests that link SQLite and the extension
 * statically.
 *
 * The extension comes to every connection through sqlite3_auto_extension. Every test has a store of
 * its own, in a directory that is removed afterwards. Only `must`, `prepare` and `assert_row` use
 * cmocka's assertions: a test's own thread alone may call them.
 */
#ifndef SQL_FIXTURE_H
#define SQL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SQLITE_CORE
#define SQLITE_CORE 1
#endif

#include "../../ext/init.h"
#include "temp_dir.h"

enum { TEXT_BYTES = 512 };

static char dir[TEMP_DIR_BYTES];
static unsigned stores;  /* one for each test */
static char options[64]; /* of the tables that open_db makes: ", name=value" */

static inline int
use_new_store(void **state)
{
    (void)state;
    stores++;
    options[0] = '\0';
    return 0;
}

/* Runs sql, any number of statements; returns the extended code. */
static inline int
run(sqlite3 *db, const char *sql)
{
    const int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? rc : sqlite3_extended_errcode(db);
}

static inline void
must(sqlite3 *db, const char *sql)
{
    const int rc = run(db, sql);

    if (rc != SQLITE_OK)
        fail_msg("%s: %s (%d)", sql, sqlite3_errmsg(db), rc);
}

/* CREATE VIRTUAL TABLE temp.NAME in the test's store; returns SQLite's code. */
static inline int
create_table(sqlite3 *db, const char *name)
{
    char sql[TEXT_BYTES];

    (void)snprintf(sql, sizeof sql, "CREATE VIRTUAL TABLE temp.%s USING txkv('%s/%u'%s)", name, dir,
                   stores, options);
    return run(db, sql);
}

/* A connection with temp.kv; NULL and an error code never meet a test's assertions in a thread. */
static inline sqlite3 *
open_db(void)
{
    sqlite3 *db;

    if (sqlite3_open(":memory:", &db) != SQLITE_OK || create_table(db, "kv") != SQLITE_OK) {
        (void)fprintf(stderr, "open: %s\n", sqlite3_errmsg(db));
        abort();
    }
    return db;
}

/* The first column of the first row as text, or "none" or "error". */
static inline const char *
ask(sqlite3 *db, const char *sql)
{
    static char text[TEXT_BYTES];
    sqlite3_stmt *statement;
    const char *answer = "error";
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW)
            answer = (const char *)sqlite3_column_text(statement, 0);
        else if (rc == SQLITE_DONE)
            answer = "none";
    }
    (void)snprintf(text, sizeof text, "%s", answer == NULL ? "NULL" : answer);
    sqlite3_finalize(statement);
    return text;
}

/* The answer as a whole number; -1 for anything else. */
static inline long
ask_number(sqlite3 *db, const char *sql)
{
    const char *text = ask(db, sql);
    char *end;
    const long v = strtol(text, &end, 10);

    return end == text || *end != '\0' ? -1 : v;
}

static inline sqlite3_stmt *
prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    return statement;
}

static inline void
assert_row(sqlite3_stmt *statement, const char *expected)
{
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), expected);
}

/* SQLite and the directory, before the tests run; false when that failed. */
static inline bool
fixture_start(void)
{
    return temp_dir_make(dir) && sqlite3_initialize() == SQLITE_OK &&
           sqlite3_auto_extension((void (*)(void))sqlite3_txkv_init) == SQLITE_OK;
}

static inline void
fixture_end(void)
{
    (void)temp_dir_remove(dir);
}

#endif /* SQL_FIXTURE_H */
