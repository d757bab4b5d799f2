/*
 * test_ext_expire.c - snapshot_timeout_s in SQL: what an application sees whose transaction has
 * been open for too long.
 */
#include "sql_fixture.h"

#include <time.h>

static int
use_timed_store(void **state)
{
    (void)alarm(30); /* a test that hangs is a test that fails */
    (void)use_new_store(state);
    (void)snprintf(options, sizeof options, ", snapshot_timeout_s=1");
    return 0;
}

#define TIMED_TEST(name) cmocka_unit_test_setup(name, use_timed_store)

/* Commit something with the connection, and wait until that many snapshots have been ended. */
static void
outdate(sqlite3 *writer, const char *sql, long expired)
{
    const struct timespec nap = { 0, 5000000 };

    if (run(writer, sql) != SQLITE_OK)
        abort();
    while (ask_number(writer, "SELECT value FROM txkv_stats WHERE name = 'snapshots_expired'") <
           expired)
        (void)nanosleep(&nap, NULL);
}

static void
assert_told(sqlite3 *db, int code)
{
    assert_int_equal(code, SQLITE_BUSY_SNAPSHOT);
    assert_non_null(strstr(sqlite3_errmsg(db), "kv: store "));
    assert_non_null(strstr(sqlite3_errmsg(db), "snapshot_timeout_s=1 has ended"));
    assert_non_null(strstr(sqlite3_errmsg(db), "run the transaction again"));
}

static void
an_idle_transaction_is_told_busy_snapshot_until_it_is_rolled_back(void **state)
{
    sqlite3 *one = open_db(), *two = open_db();
    sqlite3_stmt *statement;

    (void)state;
    must(two, "INSERT INTO kv VALUES('a', 1), ('b', 1), ('c', 1)");
    must(one, "BEGIN; REPLACE INTO kv VALUES('mine', 1)");
    statement = prepare(one, "SELECT key || value FROM kv");
    assert_row(statement, "a1");
    outdate(two, "UPDATE kv SET value = 2", 1);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), "a1");
    assert_int_equal(sqlite3_step(statement), SQLITE_BUSY);
    assert_told(one, sqlite3_extended_errcode(one));
    assert_told(one, run(one, "SELECT * FROM kv WHERE key = 'a'"));
    assert_told(one, run(one, "UPDATE kv SET value = 3 WHERE key = 'a'"));
    assert_false(sqlite3_get_autocommit(one));
    must(one, "ROLLBACK; BEGIN; UPDATE kv SET value = value + 1; COMMIT");
    (void)sqlite3_finalize(statement);
    assert_int_equal(ask_number(one, "SELECT sum(value) FROM kv"), 9);
    assert_int_equal(sqlite3_close(one), SQLITE_OK);
    assert_int_equal(sqlite3_close(two), SQLITE_OK);
}

static void
what_was_written_after_a_read_does_not_commit(void **state)
{
    sqlite3 *one = open_db(), *two = open_db();

    (void)state;
    must(two, "INSERT INTO kv VALUES('a', 1)");
    must(one, "BEGIN; REPLACE INTO kv SELECT 'sum', sum(value) FROM kv");
    outdate(two, "UPDATE kv SET value = 2", 1);
    assert_told(one, run(one, "COMMIT"));
    assert_true(sqlite3_get_autocommit(one)); /* as after every COMMIT that fails for good */
    assert_string_equal(ask(one, "SELECT group_concat(key || value) FROM kv"), "a2");
    assert_int_equal(sqlite3_close(one), SQLITE_OK);
    assert_int_equal(sqlite3_close(two), SQLITE_OK);
}

static void
blind_writes_and_mere_reads_commit(void **state)
{
    sqlite3 *one = open_db(), *two = open_db();

    (void)state;
    must(two, "INSERT INTO kv VALUES('a', 1)");
    must(one, "BEGIN; SELECT * FROM kv");
    outdate(two, "REPLACE INTO kv VALUES('a', 2)", 1);
    must(one, "COMMIT; BEGIN; REPLACE INTO kv VALUES('b', 1)");
    must(two, "REPLACE INTO kv VALUES('a', 3)");
    must(one, "COMMIT");
    assert_string_equal(ask(one, "SELECT group_concat(key || value) FROM kv"), "a3,b1");
    assert_int_equal(sqlite3_close(one), SQLITE_OK);
    assert_int_equal(sqlite3_close(two), SQLITE_OK);
}

static void
a_statement_outside_a_transaction_is_in_the_way_until_it_is_reset(void **state)
{
    sqlite3 *one = open_db(), *two = open_db();
    sqlite3_stmt *statement;

    (void)state;
    must(two, "INSERT INTO kv VALUES('a', 1), ('b', 1)");
    statement = prepare(one, "SELECT key || value FROM kv");
    assert_row(statement, "a1");
    outdate(two, "UPDATE kv SET value = 2", 1);
    assert_told(one, run(one, "SELECT * FROM kv"));
    assert_int_equal(sqlite3_step(statement), SQLITE_BUSY);
    assert_string_equal(ask(one, "SELECT value FROM kv"), "2"); /* that was the statement's end */
    (void)sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(one), SQLITE_OK);
    assert_int_equal(sqlite3_close(two), SQLITE_OK);
}

/* wait(): another connection commits, and the snapshot that the caller reads from is ended. */
static void
wait_function(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    sqlite3 *writer = sqlite3_user_data(context);

    (void)count;
    (void)arguments;
    outdate(writer, "DELETE FROM kv; SELECT txkv_checkpoint('kv'); REPLACE INTO kv VALUES('z', 0)",
            1);
    must(writer, "SELECT txkv_checkpoint('kv')");
    sqlite3_result_text(context, "waited", -1, SQLITE_STATIC);
}

/* The value is asked for when the memory that it came from has gone. */
static void
a_row_can_be_looked_at_after_its_snapshot_was_ended(void **state)
{
    sqlite3 *one = open_db(), *two = open_db();
    sqlite3_stmt *statement;

    (void)state;
    must(two, "INSERT INTO kv VALUES('a', hex(zeroblob(2000))), ('b', 1)");
    assert_int_equal(
        sqlite3_create_function(one, "wait", 0, SQLITE_UTF8, two, wait_function, NULL, NULL),
        SQLITE_OK);
    statement = prepare(one, "SELECT wait() || length(value) || key FROM kv");
    assert_row(statement, "waited4000a");
    assert_int_equal(sqlite3_step(statement), SQLITE_BUSY);
    (void)sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(one), SQLITE_OK);
    assert_int_equal(sqlite3_close(two), SQLITE_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TIMED_TEST(an_idle_transaction_is_told_busy_snapshot_until_it_is_rolled_back),
        TIMED_TEST(what_was_written_after_a_read_does_not_commit),
        TIMED_TEST(blind_writes_and_mere_reads_commit),
        TIMED_TEST(a_statement_outside_a_transaction_is_in_the_way_until_it_is_reset),
        TIMED_TEST(a_row_can_be_looked_at_after_its_snapshot_was_ended),
    };
    int failed;

    if (!fixture_start())
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end();
    return failed;
}
