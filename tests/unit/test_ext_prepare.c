/*
 * test_ext_prepare.c - commits of a txkv table and native tables of one file: what a program sees.
 *
 * tests/crash/atomic.c kills such commits everywhere; here are the ones that SQLite refuses after
 * xSync, and the stores that nobody can ask about.
 */
#include "sql_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static const char *
in_dir(const char *format)
{
    static char names[4][TEXT_BYTES];
    static unsigned next;
    char *name = names[next++ % 4];

    (void)snprintf(name, sizeof names[0], "%s/%u%s", dir, stores, format);
    return name;
}

static sqlite3 *
open_file(const char *more)
{
    char sql[TEXT_BYTES];
    sqlite3 *db;

    assert_int_equal(sqlite3_open(in_dir(".db"), &db), SQLITE_OK);
    must(db, "CREATE TABLE IF NOT EXISTS native(key PRIMARY KEY, value)");
    (void)snprintf(sql, sizeof sql, "CREATE VIRTUAL TABLE IF NOT EXISTS kv USING txkv('%s'%s)",
                   in_dir(""), more);
    must(db, sql);
    return db;
}

static void
write_both(sqlite3 *db, const char *key)
{
    char sql[TEXT_BYTES];

    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO kv VALUES('%s', 1); INSERT INTO native "
                   "VALUES('%s', 1)",
                   key, key);
    must(db, sql);
}

/* Which keys each has: "kv a,b native a,b". */
static const char *
both(sqlite3 *db)
{
    return ask(db,
               "SELECT 'kv ' || (SELECT coalesce(group_concat(key), '') FROM (SELECT key FROM kv "
               "ORDER BY key)) || ' native ' || (SELECT coalesce(group_concat(key), '') FROM "
               "(SELECT key FROM native ORDER BY key))");
}

/* ---- commits that SQLite refuses ---- */

static int
veto(void *arg)
{
    return *(const int *)arg;
}

static void
a_commit_hook_that_vetoes_takes_both_parts_back(void **state)
{
    sqlite3 *db = open_file(""), *temp = open_db();
    int vetoes = 1;

    (void)state;
    (void)sqlite3_commit_hook(db, veto, &vetoes);
    must(db, "BEGIN");
    write_both(db, "a");
    assert_int_equal(run(db, "COMMIT"), SQLITE_CONSTRAINT_COMMITHOOK);
    assert_true(sqlite3_get_autocommit(db));
    assert_string_equal(both(db), "kv  native ");
    assert_int_equal(run(db, "INSERT INTO kv VALUES('b', 1)"), SQLITE_CONSTRAINT_COMMITHOOK);
    assert_string_equal(both(db), "kv  native ");
    must(temp, "INSERT INTO kv VALUES('of temp', 1)"); /* nothing is held any more */
    vetoes = 0;
    must(db, "BEGIN");
    write_both(db, "c");
    must(db, "COMMIT");
    assert_string_equal(both(db), "kv c,of temp native c");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(sqlite3_close(temp), SQLITE_OK);
}

/* In a rollback journal's mode a reader keeps SQLite from committing, after xSync. */
struct refused {
    sqlite3 *db, *reader, *temp;
};

static void
make_refused(struct refused *r)
{
    char *message = NULL;

    r->db = open_file(", stall_timeout_ms=50");
    r->temp = open_db();
    must(r->temp, "INSERT INTO kv VALUES('0', 1)");
    assert_int_equal(sqlite3_open(in_dir(".db"), &r->reader), SQLITE_OK);
    must(r->reader, "BEGIN; SELECT count(*) FROM native");
    must(r->db, "BEGIN");
    write_both(r->db, "a");
    assert_int_equal(sqlite3_exec(r->db, "COMMIT", NULL, NULL, &message), SQLITE_BUSY);
    assert_string_equal(message, "database is locked");
    sqlite3_free(message);
    assert_false(sqlite3_get_autocommit(r->db));
}

static void
close_refused(struct refused *r)
{
    assert_int_equal(sqlite3_close(r->db), SQLITE_OK);
    assert_int_equal(sqlite3_close(r->reader), SQLITE_OK);
    assert_int_equal(sqlite3_close(r->temp), SQLITE_OK);
}

static void
a_refused_commit_holds_others_up_until_it_is_repeated(void **state)
{
    struct refused r;
    char pid[32];

    (void)state;
    make_refused(&r);
    (void)snprintf(pid, sizeof pid, "process %d ", (int)getpid());
    assert_int_equal(ask_number(r.temp, "SELECT count(*) FROM kv"), 1); /* reads go on */
    assert_int_equal(run(r.temp, "INSERT INTO kv VALUES('b', 1)"), SQLITE_BUSY);
    assert_non_null(strstr(sqlite3_errmsg(r.temp), pid));
    assert_non_null(strstr(sqlite3_errmsg(r.temp), "between the two steps"));
    assert_int_equal(run(r.db, "COMMIT"), SQLITE_BUSY); /* again, too early */
    must(r.reader, "COMMIT");
    must(r.db, "COMMIT");
    must(r.temp, "INSERT INTO kv VALUES('b', 1)");
    assert_string_equal(both(r.db), "kv 0,a,b native a");
    close_refused(&r);
}

static void
a_refused_commit_can_be_rolled_back(void **state)
{
    struct refused r;

    (void)state;
    make_refused(&r);
    must(r.db, "ROLLBACK");
    must(r.temp, "INSERT INTO kv VALUES('b', 1)");
    assert_string_equal(both(r.db), "kv 0,b native ");
    close_refused(&r);
}

/* A write, a savepoint, or a return to one: it holds nobody up before its next COMMIT. */
static void
a_refused_commit_that_goes_on_holds_nobody_up(void **state)
{
    static const char *const steps[] = { "INSERT INTO kv VALUES('c', 1)", "SAVEPOINT s" };

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct refused r;

        (void)use_new_store(state);
        make_refused(&r);
        must(r.db, steps[i]);
        must(r.temp, "INSERT INTO kv VALUES('b', 1)");
        must(r.reader, "COMMIT");
        must(r.db, "COMMIT");
        assert_string_equal(both(r.db), i == 0 ? "kv 0,a,b,c native a" : "kv 0,a,b native a");
        assert_int_equal(ask_number(r.db, "SELECT count(*) FROM txkv_prepared"), 1);
        close_refused(&r);
    }
}

/* The row that tells of a commit must not outlive what it tells of. */
static void
a_refused_commit_that_is_emptied_leaves_no_row_behind(void **state)
{
    struct refused r;

    (void)state;
    r.db = open_file(", stall_timeout_ms=50");
    r.temp = open_db();
    assert_int_equal(sqlite3_open(in_dir(".db"), &r.reader), SQLITE_OK);
    must(r.reader, "BEGIN; SELECT count(*) FROM native");
    must(r.db, "BEGIN; INSERT INTO native VALUES('n', 1)");
    must(r.db, "SAVEPOINT s; INSERT INTO kv VALUES('a', 1)");
    assert_int_equal(run(r.db, "COMMIT"), SQLITE_BUSY);
    must(r.db, "ROLLBACK TO s; RELEASE s");
    must(r.reader, "COMMIT");
    must(r.db, "COMMIT");
    assert_string_equal(both(r.db), "kv  native n");
    assert_int_equal(ask_number(r.db, "SELECT count(*) FROM txkv_prepared"), 0);
    close_refused(&r);
}

/* ---- threads ---- */

enum { THREADS = 3, ADDS = 60 };

struct adder {
    pthread_t thread;
    sqlite3 *db;
    bool of_temp;
    uint32_t done, errors;
};

/* Adds one to both counters, or, through a table of temp, to one of its own. */
static void *
add(void *arg)
{
    struct adder *a = arg;

    while (a->done < ADDS && a->errors == 0) {
        const int rc =
            run(a->db, a->of_temp ? "UPDATE kv SET value = value + 1 WHERE key = 'temp'"
                                  : "BEGIN IMMEDIATE; UPDATE kv SET value = value + 1 WHERE "
                                    "key = 'n'; UPDATE native SET value = value + 1; COMMIT");

        if (rc == SQLITE_OK)
            a->done++;
        else if ((rc & 0xff) != SQLITE_BUSY)
            a->errors++;
        if (!sqlite3_get_autocommit(a->db))
            (void)run(a->db, "ROLLBACK");
    }
    return NULL;
}

static void
threads_with_tables_of_the_file_and_of_temp_lose_nothing(void **state)
{
    struct adder adders[THREADS] = { 0 };
    sqlite3 *db = open_file("");

    (void)state;
    must(db, "PRAGMA journal_mode = wal");
    must(db, "INSERT INTO kv VALUES('n', 0), ('temp', 0); INSERT INTO native VALUES('n', 0)");
    for (int i = 0; i < THREADS; i++) {
        adders[i].of_temp = i == 0;
        adders[i].db = i == 0 ? open_db() : open_file("");
        (void)sqlite3_busy_timeout(adders[i].db, 10000);
        (void)ask(adders[i].db, "SELECT count(*) FROM kv");
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&adders[i].thread, NULL, add, &adders[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(adders[i].thread, NULL), 0);
        assert_int_equal(adders[i].errors, 0);
        assert_int_equal(sqlite3_close(adders[i].db), SQLITE_OK);
    }
    assert_int_equal(ask_number(db, "SELECT value FROM native"), (THREADS - 1) * ADDS);
    assert_int_equal(ask_number(db, "SELECT value FROM kv WHERE key = 'n'"), (THREADS - 1) * ADDS);
    assert_int_equal(ask_number(db, "SELECT value FROM kv WHERE key = 'temp'"), ADDS);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- in doubt ---- */

/* A child dies between the two steps: the commit hook is called between them. */
static int
die(void *arg)
{
    (void)arg;
    (void)kill(getpid(), SIGKILL);
    return 0;
}

static void
leave_in_doubt(void)
{
    const pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        sqlite3 *db = open_file("");

        write_both(db, "a");
        (void)sqlite3_commit_hook(db, die, NULL);
        (void)run(db, "BEGIN; INSERT INTO kv VALUES('b', 1); INSERT INTO native VALUES('b', 1); "
                      "COMMIT");
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void
the_file_is_asked_when_the_store_is_opened_without_it(void **state)
{
    sqlite3 *temp, *db;

    (void)state;
    leave_in_doubt();
    temp = open_db(); /* by a connection that knows no file */
    assert_int_equal(ask_number(temp, "SELECT count(*) FROM kv"), 1);
    db = open_file("");
    assert_string_equal(both(db), "kv a native a");
    assert_int_equal(sqlite3_close(temp), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
without_its_file_a_store_does_not_open_until_a_person_decides(void **state)
{
    for (int commits = 0; commits < 2; commits++) {
        char sql[TEXT_BYTES];
        sqlite3 *db;

        (void)use_new_store(state);
        leave_in_doubt();
        assert_int_equal(rename(in_dir(".db"), in_dir(".gone")), 0);
        assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
        assert_int_equal(create_table(db, "kv"), SQLITE_BUSY_RECOVERY);
        assert_non_null(strstr(sqlite3_errmsg(db), in_dir(".db")));
        assert_non_null(strstr(sqlite3_errmsg(db), "txkv_recover("));
        (void)snprintf(sql, sizeof sql, "SELECT txkv_recover('%s')", in_dir(""));
        assert_int_equal(run(db, sql), SQLITE_BUSY_RECOVERY);
        (void)snprintf(sql, sizeof sql, "SELECT txkv_recover('%s', '%s')", in_dir(""),
                       commits ? "commit" : "abort");
        must(db, sql);
        assert_int_equal(create_table(db, "kv"), SQLITE_OK);
        assert_int_equal(ask_number(db, "SELECT count(*) FROM kv"), commits ? 2 : 1);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
    }
}

static void
a_file_that_comes_back_decides(void **state)
{
    sqlite3 *db;

    (void)state;
    leave_in_doubt();
    assert_int_equal(rename(in_dir(".db"), in_dir(".gone")), 0);
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(create_table(db, "kv"), SQLITE_BUSY_RECOVERY);
    assert_int_equal(rename(in_dir(".gone"), in_dir(".db")), 0);
    assert_int_equal(create_table(db, "kv"), SQLITE_OK);
    assert_int_equal(ask_number(db, "SELECT count(*) FROM kv"), 1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Another file in its place, which has a row of a later transaction of the store, cannot tell. */
static void
a_file_that_knows_the_future_is_not_believed(void **state)
{
    sqlite3 *db;

    (void)state;
    leave_in_doubt();
    assert_int_equal(sqlite3_open(in_dir(".db"), &db), SQLITE_OK);
    must(db, "UPDATE txkv_prepared SET lsn = lsn + 100000");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(create_table(db, "kv"), SQLITE_BUSY_RECOVERY);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_file_is_asked_when_the_store_is_opened_without_it,
                               use_new_store),
        cmocka_unit_test_setup(without_its_file_a_store_does_not_open_until_a_person_decides,
                               use_new_store),
        cmocka_unit_test_setup(a_file_that_comes_back_decides, use_new_store),
        cmocka_unit_test_setup(a_file_that_knows_the_future_is_not_believed, use_new_store),
        cmocka_unit_test_setup(a_commit_hook_that_vetoes_takes_both_parts_back, use_new_store),
        cmocka_unit_test_setup(a_refused_commit_holds_others_up_until_it_is_repeated,
                               use_new_store),
        cmocka_unit_test_setup(a_refused_commit_can_be_rolled_back, use_new_store),
        cmocka_unit_test_setup(a_refused_commit_that_goes_on_holds_nobody_up, use_new_store),
        cmocka_unit_test_setup(threads_with_tables_of_the_file_and_of_temp_lose_nothing,
                               use_new_store),
        cmocka_unit_test_setup(a_refused_commit_that_is_emptied_leaves_no_row_behind,
                               use_new_store),
    };
    int rc;

    if (!fixture_start())
        return 1;
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_end();
    return rc;
}
