/*
 * atomic.c - one transaction over a txkv table and a native table, killed at every step.
 *
 *   atomic [RANDOM_KILLS [SEED]]    without an argument in two of the journal modes
 *
 * Goal: whenever the process dies, a transaction that changed a native table and a txkv table of
 * one database file is in both or in neither, and one whose COMMIT returned is in both. Others that
 * have the store open go on.
 * Method: a child adds one to a counter and a row to a journal in each of the two tables. It is
 * killed before and after its n-th system call, whether SQLite's or the store's, for n = 1, 2, ...
 * until it survives; in several journal modes, alone and with another process that commits to the
 * store through a table of temp all the time. Then the same at random moments, with many
 * transactions in a row. After each kill another child opens both, the file or the store first in
 * turn, and compares.
 *
 * The files are kept over the rounds. The parent opens nothing.
 */
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SQLITE_CORE 1
#include "../../ext/init.h"
#include "../support/process.h"
#include "../support/sql.h"
#include "../support/support.h"
#include "killpoint.h"

enum {
    RANDOM_KILLS = 25,
    KILL_AFTER_US_MAX = 15000,
    POINTS_MAX = 2000,
    GO_ON_SECONDS = 5, /* for the process beside, on a busy machine */
    JOURNAL = 8        /* rows of the journals that are kept */
};

struct shared {
    atomic_uint_fast64_t submitted; /* the number of the transaction that was begun last */
    atomic_uint_fast64_t acked;     /* of the last one whose COMMIT returned */
    atomic_uint_fast64_t points;    /* that a child that survived has passed */
    uint64_t native, kv;            /* what the checking child found */
    atomic_uint_fast64_t beats;     /* commits of the process beside */
    atomic_bool stop, beside_open;
};

static struct shared *shared;
static char dir[TEST_PATH_BYTES], file[TEST_PATH_BYTES], store[TEST_PATH_BYTES];

static const char *const modes[] = { "wal", "delete", "truncate", "persist" };
enum { MODES = sizeof modes / sizeof modes[0], MODES_IN_SHORT = 2 };

/* ---- connections, in children ---- */

static sqlite3 *
open_path(const char *path)
{
    sqlite3 *db;

    if (sqlite3_auto_extension((void (*)(void))sqlite3_txkv_init) != SQLITE_OK ||
        sqlite3_open(path, &db) != SQLITE_OK)
        test_die("open %s", path);
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_busy_timeout(db, 10000);
    return db;
}

static sqlite3 *
open_file(const char *mode)
{
    sqlite3 *db = open_path(file);

    sql_run(db, "PRAGMA journal_mode = %s; PRAGMA synchronous = full", mode);
    sql_run(db, "PRAGMA wal_autocheckpoint = 12; PRAGMA cache_size = 20");
    return db;
}

static uint64_t
ask(sqlite3 *db, const char *text)
{
    sqlite3_stmt *statement = sql_prepare(db, text);
    uint64_t n;

    if (sqlite3_step(statement) != SQLITE_ROW)
        test_die("%s: %s", text, sqlite3_errmsg(db));
    n = (uint64_t)sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return n;
}

static void
make_files(const char *mode)
{
    sqlite3 *db = open_file(mode);

    sql_run(db, "CREATE VIRTUAL TABLE kv USING txkv('%s')", store);
    sql_run(db, "CREATE TABLE native(key PRIMARY KEY, value)");
    sql_run(db, "BEGIN; INSERT INTO kv VALUES('n', 0); INSERT INTO native VALUES('n', 0); COMMIT");
    (void)sqlite3_close(db);
}

/* Transaction number n: both tables agree before it and after it. */
static void
add_one(sqlite3 *db, uint64_t n)
{
    static const char *const tables[] = { "native", "kv" };

    atomic_store(&shared->submitted, n);
    sql_run(db, "BEGIN");
    for (uint64_t i = 0; i < 2; i++) {
        const char *table = tables[(i + n) % 2];

        sql_run(db, "UPDATE %s SET value = value + 1 WHERE key = 'n'", table);
        sql_run(db, "REPLACE INTO %s VALUES('row ' || %llu, zeroblob(%llu))", table,
                (unsigned long long)n, (unsigned long long)(n % 5 * 1700 + 10));
        sql_run(db, "DELETE FROM %s WHERE key = 'row ' || %lld", table, (long long)n - JOURNAL);
    }
    sql_run(db, "COMMIT");
    atomic_store(&shared->acked, n);
}

/* ---- the child that is killed ---- */

static void
writer(const char *mode, uint64_t at)
{
    sqlite3 *db;

    killpoint_install();
    db = open_file(mode);
    (void)ask(db, "SELECT value FROM kv WHERE key = 'n'"); /* the store is open */
    killpoint_arm(at);
    add_one(db, atomic_load(&shared->acked) + 1);
    atomic_store(&shared->points, killpoint_disarm());
    /* and some die with the COMMIT behind them, all things open */
    if (at % 2 == 0)
        (void)sqlite3_close(db);
    _exit(0);
}

static void
many_writer(const char *mode)
{
    sqlite3 *db = open_file(mode);
    uint64_t n = atomic_load(&shared->acked);

    for (;;)
        add_one(db, ++n);
}

/* ---- the process beside ---- */

static void
beside(void)
{
    sqlite3 *db = open_path(":memory:");
    uint64_t n = 0;

    sql_run(db, "CREATE VIRTUAL TABLE temp.beats USING txkv('%s', sync=off)", store);
    while (!atomic_load(&shared->stop)) {
        const int rc =
            sql_try(db, "REPLACE INTO beats VALUES('beat', %llu)", (unsigned long long)n);

        if (rc != SQLITE_OK)
            test_die("the process beside cannot go on: %s", sqlite3_errmsg(db));
        atomic_fetch_add(&shared->beats, 1);
        atomic_store(&shared->beside_open, true);
        if (++n % 50 == 0)
            sql_run(db, "SELECT txkv_checkpoint('beats')");
        test_sleep_us(200);
    }
    if (ask(db, "SELECT value FROM beats WHERE key = 'beat'") != n - 1)
        test_die("the process beside has lost a commit");
    (void)sqlite3_close(db);
    _exit(0);
}

static int
start_beside(void)
{
    int pid;

    atomic_store(&shared->stop, false);
    atomic_store(&shared->beside_open, false);
    pid = (int)test_fork();
    if (pid == 0)
        beside();
    while (!atomic_load(&shared->beside_open))
        test_sleep_us(200);
    return pid;
}

static void
stop_beside(int pid)
{
    atomic_store(&shared->stop, true);
    test_wait_well(pid, 30, "the process beside");
}

/* ---- the child that checks ---- */

static void
checker(bool store_first)
{
    sqlite3 *memory = NULL, *db;

    if (store_first) { /* recovery asks the file, which nobody has looked at since the kill */
        memory = open_path(":memory:");
        sql_run(memory, "CREATE VIRTUAL TABLE temp.kv USING txkv('%s')", store);
        shared->kv = ask(memory, "SELECT value FROM kv WHERE key = 'n'");
    }
    db = open_path(file);
    shared->native = ask(db, "SELECT value FROM native WHERE key = 'n'");
    if (!store_first)
        shared->kv = ask(db, "SELECT value FROM kv WHERE key = 'n'");
    else if (ask(db, "SELECT value FROM kv WHERE key = 'n'") != shared->kv)
        test_die("the store's value has changed without a commit");
    if (ask(db, "SELECT count(*) FROM (SELECT key, length(value) FROM native WHERE key <> 'n' "
                "EXCEPT SELECT key, length(value) FROM kv)") != 0 ||
        ask(db, "SELECT count(*) FROM (SELECT key, length(value) FROM kv WHERE key <> 'n' "
                "EXCEPT SELECT key, length(value) FROM native)") != 0)
        test_die("the journals differ: native %llu, txkv %llu", (unsigned long long)shared->native,
                 (unsigned long long)shared->kv);
    if (ask(db, "PRAGMA integrity_check = 1") != 0) /* "ok" is no number */
        test_die("integrity_check");
    (void)sqlite3_close(db);
    (void)sqlite3_close(memory);
    _exit(0);
}

/* Compare, and take what was found as what the next transaction goes on from. */
static void
check(bool store_first, const char *where, uint64_t point)
{
    const uint64_t acked = atomic_load(&shared->acked), submitted = atomic_load(&shared->submitted);
    const int pid = (int)test_fork();

    if (pid == 0)
        checker(store_first);
    test_wait_well(pid, 60, "the check");
    if (shared->native != shared->kv || shared->native < acked || shared->native > submitted)
        test_die(
            "%s, point %llu: native has %llu and txkv %llu; transaction %llu was acknowledged, "
            "%llu begun",
            where, (unsigned long long)point, (unsigned long long)shared->native,
            (unsigned long long)shared->kv, (unsigned long long)acked,
            (unsigned long long)submitted);
    atomic_store(&shared->acked, shared->native);
}

/* The process beside must have committed since the kill. */
static void
expect_beats(const char *where, uint64_t point)
{
    const uint64_t before = atomic_load(&shared->beats);
    const uint64_t until = test_now_us() + GO_ON_SECONDS * UINT64_C(1000000);

    while (atomic_load(&shared->beats) < before + 3) {
        if (test_now_us() > until)
            test_die("%s, point %llu: the process beside does not go on", where,
                     (unsigned long long)point);
        test_sleep_us(200);
    }
}

/* ---- rounds ---- */

static void
new_files(const char *mode)
{
    int pid;

    test_dir_remove(dir);
    test_dir_make_in_memory(dir, "atomic");
    test_path(file, dir, "file.db");
    test_path(store, dir, "store");
    memset(shared, 0, sizeof *shared);
    pid = (int)test_fork();
    if (pid == 0) {
        make_files(mode);
        _exit(0);
    }
    test_wait_well(pid, 60, "making the files");
}

/* Every point of one transaction. */
static uint64_t
kill_everywhere(const char *mode, bool with_beside)
{
    uint64_t kept = 0, undone = 0, point = 0;
    int beside_pid = 0;
    bool survived = false;

    new_files(mode);
    if (with_beside)
        beside_pid = start_beside();
    while (!survived && ++point < POINTS_MAX) {
        const uint64_t before = atomic_load(&shared->acked);
        const int pid = (int)test_fork();
        int status;

        if (pid == 0)
            writer(mode, point);
        if (waitpid(pid, &status, 0) != pid)
            test_die("waitpid");
        survived = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (!survived && (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL))
            test_die("%s, point %llu: the writer failed", mode, (unsigned long long)point);
        if (with_beside)
            expect_beats(mode, point);
        check(point % 2 == 0, mode, point);
        kept += atomic_load(&shared->acked) > before;
        undone += atomic_load(&shared->acked) == before;
    }
    if (with_beside)
        stop_beside(beside_pid);
    if (kept == 0 || undone == 0 || point == POINTS_MAX)
        test_die("%s: %llu kept and %llu undone prove nothing", mode, (unsigned long long)kept,
                 (unsigned long long)undone);
    printf("%-8s %-22s %4llu points: %llu transactions in neither, %llu in both\n", mode,
           with_beside ? "with a process beside," : "alone,", (unsigned long long)point - 1,
           (unsigned long long)undone, (unsigned long long)kept);
    return point - 1;
}

static void
kill_at_random(struct rng *rng, const char *mode, uint64_t kills)
{
    uint64_t committed;
    int beside_pid;

    new_files(mode);
    beside_pid = start_beside();
    for (uint64_t i = 1; i <= kills; i++) {
        const int pid = (int)test_fork();

        if (pid == 0)
            many_writer(mode);
        test_sleep_us(rng_below(rng, KILL_AFTER_US_MAX) + 2000);
        test_kill(pid);
        expect_beats(mode, i);
        check(i % 2 == 0, mode, i);
    }
    stop_beside(beside_pid);
    committed = atomic_load(&shared->acked);
    printf("%-8s %llu random kills, %llu transactions, %llu commits beside\n", mode,
           (unsigned long long)kills, (unsigned long long)committed,
           (unsigned long long)atomic_load(&shared->beats));
}

int
main(int argc, char **argv)
{
    const uint64_t kills = test_argument(argc, argv, 1, RANDOM_KILLS);
    const int journals = argc > 1 ? MODES : MODES_IN_SHORT;
    const uint64_t seed = test_seed(test_argument(argc, argv, 2, test_now_us()));
    uint64_t points = 0;
    struct rng rng;

    rng_seed(&rng, seed);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    shared = test_shared_memory(sizeof *shared);
    for (int i = 0; i < journals; i++)
        points += kill_everywhere(modes[i], false);
    for (int i = 0; i < 2; i++)
        points += kill_everywhere(modes[i], true);
    for (int i = 0; i < 2; i++)
        kill_at_random(&rng, modes[i], kills);
    test_dir_remove(dir);
    test_kills(points + 2 * kills);
    return test_summary(points + 2 * kills, 0);
}
