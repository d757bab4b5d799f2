/*
 * test_ext_oom.c - the SQL face when memory runs out, in SQLite or in the store.
 *
 * SQLite gets an allocator that fails once, at a chosen allocation; the store has a hook for the
 * same (tx_mem_fail_at).
 */
#include "oom_fixture.h"

static const char *const scenario[] = {
    "BEGIN",
    "SELECT count(*) FROM kv WHERE key > 'a'",
    "UPDATE kv SET value = value + 1 WHERE key = 'x'",
    "SAVEPOINT s",
    "INSERT INTO kv VALUES('gone', zeroblob(5000))",
    "UPDATE kv SET key = 'gone too' WHERE key = 'gone'",
    "INSERT INTO kv VALUES(printf('gone%.3000c', 'k'), 1), (printf('gone%.3001c', 'k'), 2)",
    "UPDATE kv SET key = key || 'l' WHERE key >= printf('gone%.3000c', 'k')",
    "ROLLBACK TO s",
    "UPDATE kv SET value = value + 1 WHERE key = 'y'",
    "DELETE FROM kv WHERE key = 'gone'",
    "REPLACE INTO kv SELECT key || 2, value FROM kv WHERE key IN ('x', 'y')",
    "INSERT OR IGNORE INTO t VALUES(NULL, 'name', 1), (NULL, 'other', NULL), (NULL, 'name', 2)",
    "REPLACE INTO t VALUES(1, 'other', x'00')",
    "UPDATE t SET id = id + 10, name = name || '!' WHERE age IS NULL OR name = 'other'",
    "SELECT * FROM t WHERE age BETWEEN 0 AND x'01' ORDER BY age DESC",
    "SELECT id FROM t WHERE name IN ('name', 'other', zeroblob(400)) AND id IN (SELECT id FROM t)",
    "SELECT id FROM t WHERE age = CAST(1 AS INTEGER) ORDER BY id DESC",
    "SELECT id FROM t WHERE name LIKE (SELECT 'o%')",
    "REPLACE INTO t VALUES(5, printf('l%.3000c', 'k'), printf('%.3000c', 'm'))",
    "REPLACE INTO t VALUES(6, printf('l%.3000c', 'k'), printf('%.3001c', 'm'))",
    "UPDATE t SET name = name || 'l', age = age || 'm' WHERE age > printf('%.3000c', 'm')",
    "SELECT id FROM t WHERE age = printf('%.3001c', 'm') || 'm' OR name = printf('l%.3000c', 'k')",
    "DELETE FROM t WHERE name >= 'a'",
    "COMMIT",
    "SELECT txkv_checkpoint('kv')",
    "SELECT count(*) FROM txkv_stats",
};

/* Without savepoints and long keys, which the scenario has. */
static const char *const transfers[] = {
    "REPLACE INTO t VALUES(7, 'seven', 0.1), (8, 'it''s', x'00')",
    "SELECT txkv_export('t', (SELECT max(store) || '.sql' FROM txkv_tables), 'overwrite=yes')",
    "SELECT txkv_export('t', (SELECT max(store) || '.csv' FROM txkv_tables), 'overwrite=yes')",
    "SELECT txkv_import('t', (SELECT max(store) || '.csv' FROM txkv_tables), 'conflict=replace')",
    "SELECT txkv_export((SELECT max(store) FROM txkv_tables), (SELECT max(store) || '.jsonl' FROM "
    "txkv_tables), 'overwrite=yes')",
    "SELECT txkv_import((SELECT max(store) FROM txkv_tables), (SELECT max(store) || "
    "'.jsonl' FROM txkv_tables), 'conflict=ignore')",
};

static int
create_declared(sqlite3 *db)
{
    char sql[TEXT_BYTES];

    (void)snprintf(sql, sizeof sql,
                   "CREATE VIRTUAL TABLE temp.t USING txkv('%s/%u', id INTEGER PRIMARY KEY, "
                   "name TEXT NOT NULL COLLATE NOCASE, age VARCHAR(9), UNIQUE(name), INDEX(age))",
                   dir, stores);
    return run(db, sql);
}

/* One connection from its opening to its end; returns the first error. */
static int
run_statements(const char *const *statements, size_t count)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open(":memory:", &db);

    if (rc == SQLITE_OK)
        rc = create_table(db, "kv");
    if (rc == SQLITE_OK)
        rc = create_declared(db);
    for (size_t i = 0; rc == SQLITE_OK && i < count; i++)
        rc = run(db, statements[i]);
    /* As after a crash of the application's own: nothing is tidied up before the close. */
    if (sqlite3_close(db) != SQLITE_OK)
        return SQLITE_INTERNAL;
    return rc;
}

static int
run_scenario(void)
{
    return run_statements(scenario, sizeof scenario / sizeof scenario[0]);
}

static void
check_after_failure(sqlite3 *db, int rc, long n)
{
    const int primary = rc & 0xff;

    /* sqlite3_open, and SQLite's own parser, may call it an error of another kind. */
    if (primary != SQLITE_OK && primary != SQLITE_NOMEM && primary != SQLITE_ERROR)
        fail_msg("allocation %ld: code %d", n, rc);
    if (strcmp(ask(db, "SELECT (SELECT value FROM kv WHERE key = 'x') = (SELECT value FROM kv "
                       "WHERE key = 'y')"),
               "1") != 0)
        fail_msg("allocation %ld: half a transaction was committed", n);
    if (strcmp(ask(db, "SELECT count(*) FROM kv WHERE key GLOB 'gone*'"), "0") != 0)
        fail_msg("allocation %ld: what was rolled back is there", n);
}

/*
 * Goal: running out of memory anywhere is an error and no more: nothing half done, nothing leaked
 * that would keep the connection from closing, and the store serves on. Method: the n-th allocation
 * fails, for every n that the scenario reaches; another connection looks each time.
 */
static void
no_failed_allocation_of_sqlite_leaves_half_a_transaction(void **state)
{
    sqlite3 *db;
    long n = 0;
    int rc;

    (void)state;
    (void)snprintf(options, sizeof options, ", sync=off");
    db = open_db();
    must(db, "INSERT INTO kv VALUES('x', 0), ('y', 0)");
    do {
        allocation_failed = false;
        allocations_left = n;
        rc = run_scenario();
        allocations_left = -1;
        check_after_failure(db, rc, n);
        n++;
    } while (allocation_failed);
    assert_int_equal(rc, SQLITE_OK);
    assert_true(n > 100);
    assert_true(ask_number(db, "SELECT value FROM kv WHERE key = 'x'") > 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The other connection's t has all rows of an import, or none. */
static void
no_failed_allocation_leaves_half_a_file_or_half_an_import(void **state)
{
    sqlite3 *db;
    long n = 0;
    int rc;

    (void)state;
    (void)snprintf(options, sizeof options, ", sync=off");
    db = open_db();
    assert_int_equal(create_declared(db), SQLITE_OK);
    must(db, "INSERT INTO kv VALUES('x', 0), ('y', 0)");
    do {
        allocation_failed = false;
        allocations_left = n;
        rc = run_statements(transfers, sizeof transfers / sizeof transfers[0]);
        allocations_left = -1;
        check_after_failure(db, rc, n);
        n++;
    } while (allocation_failed);
    assert_int_equal(rc, SQLITE_OK);
    assert_true(n > 500);
    assert_string_equal(ask(db, "SELECT group_concat(id || name) FROM t"), "7seven,8it's");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
no_failed_allocation_of_the_store_leaves_half_a_transaction(void **state)
{
    enum { REACHED = 350 };
    int failures = 0;
    sqlite3 *db;

    (void)state;
    (void)snprintf(options, sizeof options, ", sync=off");
    db = open_db();
    must(db, "INSERT INTO kv VALUES('x', 0), ('y', 0)");
    for (long n = 1; n < REACHED; n++) {
        int rc;

        tx_mem_fail_at((uint64_t)n, false);
        rc = run_scenario();
        tx_mem_fail_at(0, false);
        failures += rc != SQLITE_OK;
        check_after_failure(db, rc, n);
    }
    assert_true(failures > 10);
    assert_int_equal(run_scenario(), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- a table of a file, and a native one of that file ---- */

static const char *
file_name(void)
{
    static char name[TEXT_BYTES];

    (void)snprintf(name, sizeof name, "%s/%u.db", dir, stores);
    return name;
}

static const char *const file_scenario[] = {
    "BEGIN",
    "UPDATE kv SET value = value + 1",
    "UPDATE native SET value = value + 1",
    "COMMIT",
};

static int
run_file_scenario(void)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open(file_name(), &db);

    for (size_t i = 0; rc == SQLITE_OK && i < sizeof file_scenario / sizeof file_scenario[0]; i++)
        rc = run(db, file_scenario[i]);
    return sqlite3_close(db) == SQLITE_OK ? rc : SQLITE_INTERNAL;
}

static void
check_agreement(sqlite3 *db, int rc, long n, long *value)
{
    const int primary = rc & 0xff;
    const long before = *value;

    if (primary != SQLITE_OK && primary != SQLITE_NOMEM && primary != SQLITE_ERROR)
        fail_msg("allocation %ld: code %d", n, rc);
    *value = ask_number(db, "SELECT value FROM kv");
    if (*value != ask_number(db, "SELECT value FROM native"))
        fail_msg("allocation %ld: one of the two was committed alone", n);
    if (*value != before + (rc == SQLITE_OK))
        fail_msg("allocation %ld: code %d, and the value went from %ld to %ld", n, rc, before,
                 *value);
}

/* The same for the two parts of one commit: both or none, whichever allocation fails. */
static void
no_failed_allocation_commits_one_of_the_two(void **state)
{
    char sql[TEXT_BYTES];
    long n = 0, value = 0, failures = 0;
    sqlite3 *db;
    int rc;

    (void)state;
    assert_int_equal(sqlite3_open(file_name(), &db), SQLITE_OK);
    (void)snprintf(sql, sizeof sql, "CREATE VIRTUAL TABLE kv USING txkv('%s/%u')", dir, stores);
    must(db, sql);
    must(db, "CREATE TABLE native(value); INSERT INTO native VALUES(0)");
    must(db, "INSERT INTO kv VALUES('n', 0)");
    do {
        allocation_failed = false;
        allocations_left = n++;
        rc = run_file_scenario();
        allocations_left = -1;
        check_agreement(db, rc, n, &value);
    } while (allocation_failed);
    assert_true(n > 100);
    for (n = 1; n < 100; n++) {
        tx_mem_fail_at((uint64_t)n, false);
        rc = run_file_scenario();
        tx_mem_fail_at(0, false);
        failures += rc != SQLITE_OK;
        check_agreement(db, rc, n, &value);
    }
    assert_true(failures > 10);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_failed_allocation_of_sqlite_leaves_half_a_transaction,
                               use_new_store),
        cmocka_unit_test_setup(no_failed_allocation_leaves_half_a_file_or_half_an_import,
                               use_new_store),
        cmocka_unit_test_setup(no_failed_allocation_of_the_store_leaves_half_a_transaction,
                               use_new_store),
        cmocka_unit_test_setup(no_failed_allocation_commits_one_of_the_two, use_new_store),
    };
    int rc;

    install_memory();
    if (!fixture_start())
        return 1;
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end();
    return rc;
}
