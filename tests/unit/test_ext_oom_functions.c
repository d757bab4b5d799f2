/*
 * test_ext_oom_functions.c - the SQL functions and their tables when memory runs out.
 *
 * Goal: an error and no more; the connection closes, the store stays right, and the same works
 * afterwards. Method: the n-th allocation of SQLite, or of the store, fails, for every n that a
 * scenario reaches.
 */
#include "oom_fixture.h"

#include "../../src/mem.h"

enum { STORE_QUIET = 12 }; /* runs without an error, until no allocation of the store is left */

static const char *store_dir(void);

/* A scenario with the store's directory for each @. */
static const char *
with_dir(const char *sql)
{
    static char text[2 * TEXT_BYTES];

    text[0] = '\0';
    for (const char *p = sql; *p != '\0'; p++) {
        const char letter[] = { *p, '\0' };

        (void)strncat(text, *p == '@' ? store_dir() : letter, sizeof text - strlen(text) - 1);
    }
    return text;
}

static const char *
store_dir(void)
{
    static char path[TEXT_BYTES];

    (void)snprintf(path, sizeof path, "%s/%u", dir, stores);
    return path;
}

static const char *const columns =
    "CREATE VIRTUAL TABLE temp.staff USING txkv('@', id INTEGER PRIMARY KEY, name TEXT NOT NULL, "
    "age INT, UNIQUE(name), INDEX(age)); "
    "CREATE VIRTUAL TABLE temp.pairs USING txkv('@', a TEXT, b INT, PRIMARY KEY(a, b))";

static sqlite3 *
open_all(void)
{
    sqlite3 *db = open_db();

    must(db, with_dir(columns));
    return db;
}

static void
fill(void)
{
    sqlite3 *db = open_all();

    must(db, "INSERT INTO staff VALUES(1, 'Ann', 9), (2, 'Bob', 7), (3, 'Cyd', NULL)");
    must(db, "INSERT INTO pairs VALUES('x', 1), ('x', 2), ('y', NULL + 1 IS NULL)");
    must(db, "INSERT INTO kv VALUES('a', 1), (2.5, x'00'), (printf('%.*c', 600, 'k'), 'long')");
    must(db, "SELECT txkv_checkpoint('kv')");
    must(db, "INSERT INTO kv VALUES('b', NULL); DELETE FROM staff WHERE id = 2");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static char last_error[TEXT_BYTES];

/* Open a connection, run the statements, close it; the first error. */
static int
run_all(const char *const *statements, size_t count, bool declare)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open(":memory:", &db);

    if (rc == SQLITE_OK && declare)
        rc = create_table(db, "kv");
    if (rc == SQLITE_OK && declare)
        rc = run(db, with_dir(columns));
    for (size_t i = 0; rc == SQLITE_OK && i < count; i++) {
        rc = run(db, with_dir(statements[i]));
        if (rc != SQLITE_OK)
            (void)snprintf(last_error, sizeof last_error, "%.100s: %s", statements[i],
                           sqlite3_errmsg(db));
    }
    if (sqlite3_close(db) != SQLITE_OK)
        fail_msg("the connection does not close");
    return rc;
}

static void
expect_no_memory(int rc, long n)
{
    const int primary = rc & 0xff;

    /* sqlite3_open, and SQLite's own parser, may call it an error of another kind. */
    if (primary != SQLITE_OK && primary != SQLITE_NOMEM && primary != SQLITE_ERROR)
        fail_msg("allocation %ld: code %d", n, rc);
}

static void
expect_whole_store(long n)
{
    sqlite3 *db = open_all();

    if (strcmp(ask(db, with_dir("SELECT txkv_check('@') ->> 'problems'")), "[]") != 0)
        fail_msg("allocation %ld: %s", n, ask(db, with_dir("SELECT txkv_check('@')")));
    if (strcmp(ask(db, "SELECT (SELECT count(*) FROM kv) || (SELECT count(*) FROM staff) || "
                       "(SELECT count(*) FROM pairs)"),
               "423") != 0)
        fail_msg("allocation %ld: rows were lost", n);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Every allocation of SQLite's and of the store's fails once, or one of `step`. */
static void
fail_each(const char *const *statements, size_t count, bool declare, long step)
{
    long n = 0, quiet = 0;
    int rc = SQLITE_NOMEM;

    (void)snprintf(options, sizeof options, ", sync=off");
    fill();
    do {
        allocation_failed = false;
        allocations_left = n;
        n += step;
        rc = run_all(statements, count, declare);
        allocations_left = -1;
        expect_no_memory(rc, n);
        if (n / step % 16 == 0)
            expect_whole_store(n);
    } while (allocation_failed);
    if (rc != SQLITE_OK)
        fail_msg("with memory: %s", last_error);
    assert_true(n > 50);
    for (n = 1; quiet < STORE_QUIET; n += step) {
        tx_mem_fail_at((uint64_t)n, false);
        rc = run_all(statements, count, declare);
        tx_mem_fail_at(0, false);
        expect_no_memory(rc, n);
        quiet = rc == SQLITE_OK ? quiet + 1 : 0;
        if (n / step % 16 == 0)
            expect_whole_store(n);
    }
    assert_true(n > 50);
    expect_whole_store(n);
}

static void
functions_on_an_open_store_survive(void **state)
{
    static const char *const statements[] = {
        "SELECT count(*), sum(length(tables)) FROM txkv_log('@') WHERE lsn > 0 AND lsn < 1e9",
        "SELECT txkv_check('@')",
        "SELECT txkv_check('staff')",
        "PRAGMA integrity_check", /* it asks the tables from SQLite 3.44 on */
        "SELECT txkv_recover('kv')",
        "SELECT * FROM txkv_stats",
        "SELECT * FROM txkv_tables('@')",
        "SELECT * FROM txkv_tables",
        "SELECT row FROM txkv_scan('@', 'staff')",
        "SELECT key, value, row FROM txkv_scan('@', 'kv') WHERE key > 'a'",
        "SELECT row, rowid FROM txkv_scan('@', 'pairs')",
        "SELECT txkv_checkpoint()",
        "SELECT txkv_version()",
        "BEGIN",
        "ALTER TABLE staff RENAME TO people",
        "INSERT INTO people VALUES(9, 'gone', 9)",
        "ROLLBACK",
    };

    (void)state;
    fail_each(statements, sizeof statements / sizeof statements[0], true, 2);
}

static void
functions_on_a_closed_store_survive(void **state)
{
    static const char *const statements[] = {
        "SELECT txkv_recover('@', 'dry-run')",        "SELECT txkv_check('@', 'staff')",
        "SELECT row FROM txkv_scan('@', 'staff')",    "SELECT count(*) FROM txkv_log('@')",
        "SELECT name, columns FROM txkv_tables('@')",
    };

    (void)state;
    fail_each(statements, sizeof statements / sizeof statements[0], false, 9);
}

static void
a_rescue_survives(void **state)
{
    static const char *const statements[] = { "SELECT txkv_recover('@', 'rescue')" };

    (void)state;
    fail_each(statements, 1, false, 13);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(functions_on_an_open_store_survive, use_new_store),
        cmocka_unit_test_setup(functions_on_a_closed_store_survive, use_new_store),
        cmocka_unit_test_setup(a_rescue_survives, use_new_store),
    };
    int rc;

    install_memory();
    if (!fixture_start())
        return 1;
    rc = cmocka_run_group_tests_name("functions without memory", tests, NULL, NULL);
    fixture_end();
    return rc;
}
