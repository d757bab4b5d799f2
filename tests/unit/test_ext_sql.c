/*
 * test_ext_sql.c - the SQL face where the sqlite3 shell cannot reach: several connections and
 * threads, statements that are left open, extended error codes, and fork.
 */
#include "sql_fixture.h"

#include <pthread.h>
#include <sys/wait.h>

enum { THREADS = 4, INCREMENTS = 200 };

/* ---- loading ---- */

static void
loading_twice_keeps_one_state(void **state)
{
    sqlite3 *db = open_db();
    char *message = NULL;

    (void)state;
    must(db, "BEGIN; INSERT INTO kv VALUES('a', 1)");
    assert_int_equal(sqlite3_txkv_init(db, &message, NULL), SQLITE_OK);
    assert_null(message);
    /* A table made now shares the transaction of the one made before. */
    assert_int_equal(create_table(db, "two"), SQLITE_OK);
    must(db, "INSERT INTO two VALUES('b', 2); ROLLBACK");
    assert_string_equal(ask(db, "SELECT count(*) FROM kv"), "0");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- errors ---- */

static void
errors_have_extended_codes_and_messages(void **state)
{
    sqlite3 *db = open_db();

    (void)state;
    must(db, "INSERT INTO kv VALUES('a', 1)");
    assert_int_equal(run(db, "INSERT INTO kv VALUES('a', 2)"), SQLITE_CONSTRAINT_PRIMARYKEY);
    assert_string_equal(sqlite3_errmsg(db), "UNIQUE constraint failed: kv.key");
    assert_int_equal(run(db, "INSERT INTO kv VALUES(NULL, 2)"), SQLITE_CONSTRAINT_NOTNULL);
    assert_string_equal(sqlite3_errmsg(db), "NOT NULL constraint failed: kv.key");
    assert_int_equal(run(db, "INSERT INTO kv VALUES(zeroblob(262144), 2)"), SQLITE_TOOBIG);
    assert_non_null(strstr(sqlite3_errmsg(db), "limit is 262143"));
    assert_int_equal(run(db, "INSERT OR IGNORE INTO kv VALUES('a', 2)"), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
the_second_of_two_that_change_a_key_is_told_busy_snapshot(void **state)
{
    sqlite3 *one = open_db(), *two = open_db();

    (void)state;
    must(one, "INSERT INTO kv VALUES('a', 1)");
    must(two, "BEGIN; UPDATE kv SET value = value + 1 WHERE key = 'a'");
    must(one, "UPDATE kv SET value = value + 10 WHERE key = 'a'");
    assert_int_equal(run(two, "COMMIT"), SQLITE_BUSY_SNAPSHOT);
    assert_non_null(strstr(sqlite3_errmsg(two), "kv"));
    assert_true(sqlite3_get_autocommit(two)); /* rolled back: it must be run again from its BEGIN */
    assert_string_equal(ask(two, "SELECT value FROM kv"), "11");
    must(two, "UPDATE kv SET value = value + 1 WHERE key = 'a'");
    assert_string_equal(ask(one, "SELECT value FROM kv"), "12");
    assert_int_equal(sqlite3_close(one), SQLITE_OK);
    assert_int_equal(sqlite3_close(two), SQLITE_OK);
}

/* ---- statements that stay open ---- */

static void
an_open_select_does_not_hide_later_commits_of_its_connection(void **state)
{
    sqlite3 *db = open_db();
    sqlite3_stmt *select;

    (void)state;
    must(db, "INSERT INTO kv VALUES('a', 1), ('b', 2), ('c', 3)");
    select = prepare(db, "SELECT key || value FROM kv");
    assert_row(select, "a1");
    for (int i = 0; i < 3; i++)
        must(db, "UPDATE kv SET value = value + 10 WHERE key = 'c'");
    assert_string_equal(ask(db, "SELECT value FROM kv WHERE key = 'c'"), "33");
    assert_string_equal(ask(db, "SELECT group_concat(value) FROM kv"), "1,2,33");
    assert_row(select, "b2");
    assert_row(select, "c3"); /* it goes on where it began */
    assert_int_equal(sqlite3_step(select), SQLITE_DONE);
    sqlite3_finalize(select);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Goal: a cursor outlives the transaction it was opened in. Method: end it in each way after the
 * first row. */
static void
a_select_goes_on_after_its_transaction_has_ended(void **state)
{
    static const char *const ends[] = { "COMMIT", "ROLLBACK", "DELETE FROM kv; COMMIT",
                                        "DELETE FROM kv; ROLLBACK", "ROLLBACK TO s; COMMIT" };
    sqlite3 *db = open_db();

    (void)state;
    must(db, "INSERT INTO kv VALUES('a', 1), ('b', 2), ('c', 3)");
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        sqlite3_stmt *select = prepare(db, "SELECT key FROM kv");
        sqlite3_stmt *point =
            prepare(db, "SELECT key || value FROM kv WHERE key IN ('a', 'b', 'z')");
        int rc;

        must(db, "BEGIN; INSERT INTO kv VALUES('0', zeroblob(2000)); SAVEPOINT s; INSERT INTO kv "
                 "VALUES('z', 26)");
        assert_row(select, "0");
        assert_row(point, "a1");
        must(db, ends[i]);
        while ((rc = sqlite3_step(select)) == SQLITE_ROW)
            assert_non_null(sqlite3_column_text(select, 0));
        assert_true(rc == SQLITE_DONE || rc == SQLITE_ABORT);
        while ((rc = sqlite3_step(point)) == SQLITE_ROW)
            assert_non_null(sqlite3_column_text(point, 0));
        assert_true(rc == SQLITE_DONE || rc == SQLITE_ABORT);
        sqlite3_finalize(select);
        sqlite3_finalize(point);
        must(db, "REPLACE INTO kv VALUES('a', 1), ('b', 2), ('c', 3); DELETE FROM kv WHERE key IN "
                 "('0', 'z')");
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* An SQL function that runs a statement on its own connection. */
static void
run_inside(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    (void)argc;
    if (sqlite3_exec(sqlite3_context_db_handle(context), (const char *)sqlite3_value_text(argv[0]),
                     NULL, NULL, NULL) != SQLITE_OK)
        sqlite3_result_error(context, sqlite3_errmsg(sqlite3_context_db_handle(context)), -1);
}

/*
 * Goal: the row that a cursor stands on stays what it was while the transaction writes and rolls
 * back.
 * Method: between two columns of a row that was written in this transaction, a function writes
 * enough to move the transaction's memory; or it rolls the row back and writes another in its
 * place.
 */
static void
a_row_keeps_its_bytes_while_its_transaction_writes(void **state)
{
    static const char *const writes[] = {
        "SELECT run('DELETE FROM kv; REPLACE INTO kv VALUES(''mine'', zeroblob(9999999))'), "
        "key || ' ' || value FROM kv",
        "SELECT run('ROLLBACK TO s; INSERT INTO kv VALUES(''mine'', ''as it IS!'')'), "
        "key || ' ' || value FROM kv",
        "SELECT run('ROLLBACK; REPLACE INTO kv VALUES(''mine'', ''as it IS!'')'), "
        "key || ' ' || value FROM kv",
    };
    sqlite3 *db = open_db();

    (void)state;
    assert_int_equal(
        sqlite3_create_function(db, "run", 1, SQLITE_UTF8, NULL, run_inside, NULL, NULL),
        SQLITE_OK);
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++) {
        sqlite3_stmt *select = prepare(db, writes[i]);

        must(db, "BEGIN; SAVEPOINT s; INSERT INTO kv VALUES('mine', 'as it was')");
        assert_int_equal(sqlite3_step(select), SQLITE_ROW);
        assert_string_equal((const char *)sqlite3_column_text(select, 1), "mine as it was");
        sqlite3_finalize(select);
        if (!sqlite3_get_autocommit(db))
            must(db, "ROLLBACK");
    }
    assert_string_equal(ask(db, "SELECT value FROM kv"), "as it IS!");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
closing_waits_for_the_users_statements_and_for_no_other(void **state)
{
    sqlite3 *db = open_db();
    sqlite3_stmt *select;

    (void)state;
    /* The transaction that reads leaves a cached statement of txkv's own. */
    must(db, "INSERT INTO kv VALUES('a', 1); BEGIN; SELECT * FROM kv; COMMIT");
    select = prepare(db, "SELECT key FROM kv");
    assert_row(select, "a");
    assert_int_equal(sqlite3_close(db), SQLITE_BUSY);
    assert_int_equal(sqlite3_step(select), SQLITE_DONE);
    must(db, "BEGIN; SELECT * FROM kv; INSERT INTO kv VALUES('b', 2); COMMIT");
    sqlite3_finalize(select);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);

    db = open_db();
    select = prepare(db, "SELECT group_concat(key) FROM kv");
    must(db, "BEGIN; SELECT * FROM kv");
    assert_row(select, "a,b");
    assert_int_equal(sqlite3_close_v2(db), SQLITE_OK);
    sqlite3_finalize(
        select); /* frees the connection, as the leak check of a sanitizer build sees */
}

/* ---- transactions that only read ---- */

static void
a_reading_transaction_locks_no_file(void **state)
{
    char path[TEXT_BYTES];
    sqlite3 *db, *other;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/main-%u.db", dir, stores);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    must(db, "CREATE TABLE native(x)");
    assert_int_equal(create_table(db, "kv"), SQLITE_OK);
    must(db,
         "INSERT INTO kv VALUES('a', 1); BEGIN; SELECT * FROM kv; INSERT INTO kv VALUES('b', 2)");
    must(other, "BEGIN EXCLUSIVE; INSERT INTO native VALUES(1); COMMIT");
    must(db, "COMMIT");
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/*
 * Goal: the internal table may vanish at any time between transactions.
 * Method: drop it; let a rollback take it away that made it; each time a reading transaction must
 * still see one state, and the next one the newest.
 */
static void
a_reading_transaction_keeps_its_snapshot_without_the_internal_table(void **state)
{
    sqlite3 *db = open_db(), *writer = open_db();
    static const char *const ends[] = { "ROLLBACK", "ROLLBACK", "COMMIT", "COMMIT" };

    (void)state;
    must(writer, "INSERT INTO kv VALUES('n', 0)");
    must(db, "DROP TABLE IF EXISTS temp.txkv_transaction");
    for (int i = 0; i < 4; i++) {
        char expected[16], next[16];

        (void)snprintf(expected, sizeof expected, "%d", i);
        (void)snprintf(next, sizeof next, "%d", i + 1);
        must(db, "BEGIN");
        assert_string_equal(ask(db, "SELECT value FROM kv"), expected);
        must(writer, "UPDATE kv SET value = value + 1");
        assert_string_equal(ask(db, "SELECT value FROM kv WHERE key = 'n'"), expected);
        must(db, ends[i]);
        assert_string_equal(ask(db, "SELECT value FROM kv"), next);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(sqlite3_close(writer), SQLITE_OK);
}

static void
a_transaction_is_as_durable_as_the_strictest_table_it_wrote(void **state)
{
    static const char count[] = "SELECT value FROM txkv_stats WHERE name = 'fdatasyncs'";
    sqlite3 *db;
    long before;

    (void)state;
    (void)snprintf(options, sizeof options, ", sync=off");
    db = open_db();
    options[0] = '\0';
    assert_int_equal(create_table(db, "safe"), SQLITE_OK);
    before = ask_number(db, count);
    must(db, "INSERT INTO kv VALUES('a', 1)");
    must(
        db,
        "BEGIN; SELECT * FROM safe; INSERT INTO kv VALUES('b', 1); COMMIT"); /* read, not written */
    assert_int_equal(ask_number(db, count), before);
    must(db, "BEGIN; INSERT INTO safe VALUES('c', 1); INSERT INTO kv VALUES('c', 1); COMMIT");
    assert_int_equal(ask_number(db, count), before + 1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- threads ---- */

struct worker {
    pthread_t thread;
    int number, conflicts, errors;
};

/* Add 1 to one shared row INCREMENTS times, each time with a row of its own, again after each
 * conflict. */
static void *
increment(void *arg)
{
    struct worker *worker = arg;
    sqlite3 *db = open_db();

    for (int done = 0; done < INCREMENTS;) {
        char sql[TEXT_BYTES];
        int rc;

        (void)snprintf(sql, sizeof sql,
                       "BEGIN; UPDATE kv SET value = value + 1 WHERE key = 'sum'; INSERT INTO kv "
                       "VALUES('%d/%d', 1);"
                       "COMMIT",
                       worker->number, done);
        rc = run(db, sql);
        if (rc == SQLITE_OK) {
            done++;
        } else if (rc == SQLITE_BUSY_SNAPSHOT) {
            worker->conflicts++;
        } else {
            worker->errors++;
            (void)fprintf(stderr, "%s\n", sqlite3_errmsg(db));
            break;
        }
    }
    worker->errors += sqlite3_close(db) != SQLITE_OK;
    return NULL;
}

static void
threads_that_run_again_after_a_conflict_lose_no_update(void **state)
{
    struct worker workers[THREADS];
    char expected[32];
    sqlite3 *db;

    (void)state;
    (void)snprintf(options, sizeof options, ", sync=normal");
    db = open_db();
    must(db, "INSERT INTO kv VALUES('sum', 0)");
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .number = i };
        assert_int_equal(pthread_create(&workers[i].thread, NULL, increment, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].errors, 0);
    }
    (void)snprintf(expected, sizeof expected, "%d", THREADS * INCREMENTS);
    assert_string_equal(ask(db, "SELECT value FROM kv WHERE key = 'sum'"), expected);
    assert_string_equal(ask(db, "SELECT count(*) FROM kv WHERE key <> 'sum'"), expected);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- fork ---- */

static bool
child_is_refused(sqlite3 *db)
{
    return run(db, "INSERT INTO kv VALUES('child', 1)") == SQLITE_ERROR &&
           strstr(sqlite3_errmsg(db), "fork") != NULL &&
           run(db, "SELECT * FROM kv") == SQLITE_ERROR &&
           run(db, "SELECT txkv_checkpoint()") == SQLITE_ERROR && sqlite3_close(db) == SQLITE_OK;
}

static void
a_forked_child_is_refused_and_harms_nothing(void **state)
{
    sqlite3 *db = open_db();
    int status = -1;
    pid_t child;

    (void)state;
    must(db, "INSERT INTO kv VALUES('parent', 1); BEGIN; SELECT * FROM kv; COMMIT");
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(child_is_refused(db) ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    must(db, "INSERT INTO kv VALUES('parent again', 1)");
    assert_string_equal(ask(db, "SELECT group_concat(key) FROM kv"), "parent,parent again");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(loading_twice_keeps_one_state, use_new_store),
        cmocka_unit_test_setup(errors_have_extended_codes_and_messages, use_new_store),
        cmocka_unit_test_setup(the_second_of_two_that_change_a_key_is_told_busy_snapshot,
                               use_new_store),
        cmocka_unit_test_setup(an_open_select_does_not_hide_later_commits_of_its_connection,
                               use_new_store),
        cmocka_unit_test_setup(a_select_goes_on_after_its_transaction_has_ended, use_new_store),
        cmocka_unit_test_setup(a_row_keeps_its_bytes_while_its_transaction_writes, use_new_store),
        cmocka_unit_test_setup(closing_waits_for_the_users_statements_and_for_no_other,
                               use_new_store),
        cmocka_unit_test_setup(a_reading_transaction_locks_no_file, use_new_store),
        cmocka_unit_test_setup(a_reading_transaction_keeps_its_snapshot_without_the_internal_table,
                               use_new_store),
        cmocka_unit_test_setup(a_transaction_is_as_durable_as_the_strictest_table_it_wrote,
                               use_new_store),
        cmocka_unit_test_setup(threads_that_run_again_after_a_conflict_lose_no_update,
                               use_new_store),
        cmocka_unit_test_setup(a_forked_child_is_refused_and_harms_nothing, use_new_store),
    };
    int rc;

    if (!fixture_start())
        return 1;
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end();
    return rc;
}
