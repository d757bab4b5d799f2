/*
 * power_sql.c - a transaction over a txkv table and a native table of one file, and the power.
 *
 *   power_sql [CUTS]      SEED=n
 *
 * Goal: whatever the disk has kept, a transaction is in both tables or in neither, and one whose
 * COMMIT returned is in both; the file and the store open by themselves.
 *
 * Method: a machine (machine.h) adds one to a counter and a row to each of the two, in a loop, with
 * rollbacks, checkpoints of either, and connections closed and opened. In every other life these
 * are two processes, each with a counter and rows of its own, which end with all open and are
 * started again. None is killed in a COMMIT: docs/durability.md says what a kill and a power
 * failure right after it can do together. SQLite's file calls go to the model of the disk as the
 * store's and LMDB's do. The judge opens the file or the store first, in turn, and compares.
 */
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQLITE_CORE 1
#include "../../ext/init.h"
#include "../../ext/prepared.h"
#include "../support/process.h"
#include "../support/sql.h"
#include "machine.h"

enum { EPOCHS = 8, TRANSACTIONS_MAX = 25, ROWS_KEPT = 5, PROCESSES = 2, STARTS_MAX = 8 };

/* Of each process. */
struct shared {
    atomic_uint_fast64_t begun, committed;
    uint64_t least, most; /* of the cut that is judged */
};

static struct shared *shared; /* PROCESSES of them */
static const char *journal_mode;
static int processes; /* of the machine: one is its own */
static uint64_t found[PROCESSES];
static char file[TEST_PATH_BYTES], store[TEST_PATH_BYTES];

static sqlite3 *
open_path(const char *path)
{
    sqlite3 *db;

    if (sqlite3_auto_extension((void (*)(void))sqlite3_txkv_init) != SQLITE_OK ||
        sqlite3_open(path, &db) != SQLITE_OK)
        test_die("cannot open %s", path);
    (void)sqlite3_extended_result_codes(db, 1);
    return db;
}

/* Not while the other process changes the mode, too. */
static sqlite3 *
open_file(void)
{
    sqlite3 *db = open_path(file);
    int rc;

    do
        rc = sql_try(db,
                     "PRAGMA busy_timeout = 100; PRAGMA journal_mode = %s;"
                     "PRAGMA synchronous = full; PRAGMA wal_autocheckpoint = 12",
                     journal_mode);
    while (processes > 1 && (rc & 0xff) == SQLITE_BUSY);
    if (rc != SQLITE_OK)
        test_die("%s: %s", file, sqlite3_errmsg(db));
    return db;
}

/* The counter of a table, 0 when there is none. */
static uint64_t
ask(sqlite3 *db, const char *text)
{
    sqlite3_stmt *statement = sql_prepare(db, text);
    const int rc = sqlite3_step(statement);
    uint64_t n = 0;

    if (rc == SQLITE_ROW)
        n = (uint64_t)sqlite3_column_int64(statement, 0);
    else if (rc != SQLITE_DONE)
        test_die("%s: %s", text, sqlite3_errmsg(db));
    (void)sqlite3_finalize(statement);
    return n;
}

/* In C there can be small segments: the store is opened so before SQL finds it open. */
static struct txkv *
open_store(void)
{
    const struct txkv_options options = { .segment_bytes = 64 * 1024,
                                          .resolve = tx_prepared_resolve };
    struct txkv_error err;
    struct txkv *opened;

    test_ok(txkv_open(store, &options, &opened, &err), &err,
            "opening the store that the power failure has left");
    return opened;
}

static void
close_store(struct txkv *opened)
{
    struct txkv_error err;

    test_ok(txkv_close(opened, &err), &err, "close");
}

/* ---- the machine ---- */

static void
before_cut(void)
{
    for (int i = 0; i < PROCESSES; i++)
        shared[i].least = atomic_load(&shared[i].committed);
}

static void
after_cut(void)
{
    for (int i = 0; i < PROCESSES; i++)
        shared[i].most = atomic_load(&shared[i].begun);
}

/* The process's next transaction, of which others must have none; it may have run before. */
static int
change(sqlite3 *db, int process, uint64_t n)
{
    static const char *const tables[] = { "native", "kv" };
    int rc = SQLITE_OK;

    for (uint64_t i = 0; i < 2 && rc == SQLITE_OK; i++) {
        const char *table = tables[(i + n) % 2];

        rc = sql_try(db,
                     "REPLACE INTO %s VALUES('n%d', %llu);"
                     "REPLACE INTO %s VALUES('row %d/' || %llu, zeroblob(%llu));"
                     "DELETE FROM %s WHERE key = 'row %d/' || %lld",
                     table, process, (unsigned long long)n, table, process, (unsigned long long)n,
                     (unsigned long long)(n % 5 * 1700 + 10), table, process,
                     (long long)n - ROWS_KEPT);
    }
    return rc;
}

/* The other process may have the file's lock, or the store's log, for as long as it likes. */
static bool
is_in_the_way(sqlite3 *db, int rc)
{
    if ((rc & 0xff) != SQLITE_BUSY)
        return false;
    if (!sqlite3_get_autocommit(db))
        sql_run(db, "ROLLBACK");
    return processes > 1;
}

static void
commit_one(sqlite3 *db, int process, uint64_t n)
{
    int rc;

    do {
        rc = sql_try(db, "BEGIN IMMEDIATE");
        if (rc == SQLITE_OK)
            rc = change(db, process, n);
        if (rc == SQLITE_OK)
            rc = sql_try(db, "COMMIT");
    } while (rc != SQLITE_OK && is_in_the_way(db, rc));
    if (rc != SQLITE_OK)
        test_die("transaction %llu of process %d: %s", (unsigned long long)n, process,
                 sqlite3_errmsg(db));
}

/* A checkpoint may find the other process in its way. */
static void
check_checkpoint(sqlite3 *db, int rc)
{
    if (rc != SQLITE_OK && !is_in_the_way(db, rc) && (rc & 0xff) != SQLITE_LOCKED)
        test_die("a checkpoint: %s", sqlite3_errmsg(db));
}

static void
commit_some(sqlite3 *db, int process, struct rng *rng)
{
    struct shared *mine = &shared[process];

    for (uint32_t i = rng_below(rng, TRANSACTIONS_MAX); i > 0; i--) {
        const uint64_t n = atomic_load(&mine->begun) + 1;

        if (rng_chance(rng, 10)) {
            if (sql_try(db, "BEGIN IMMEDIATE") == SQLITE_OK)
                (void)change(db, process, n);
            if (!sqlite3_get_autocommit(db))
                sql_run(db, "ROLLBACK");
        }
        atomic_store(&mine->begun, n);
        commit_one(db, process, n);
        atomic_store(&mine->committed, n);
        if (rng_chance(rng, 10))
            check_checkpoint(db, sql_try(db, "SELECT txkv_checkpoint('%s')", store));
        if (rng_chance(rng, 5))
            check_checkpoint(db, sql_try(db, "PRAGMA wal_checkpoint(TRUNCATE)"));
        machine_pause();
    }
}

static void
name_files(const char *root)
{
    test_path(file, root, "app.db");
    test_path(store, root, "store");
}

static void
make_tables(sqlite3 *db)
{
    int rc;

    do
        rc = sql_try(
            db,
            "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS native(key PRIMARY KEY, value);"
            "CREATE VIRTUAL TABLE IF NOT EXISTS kv USING txkv('%s', checkpoint_bytes='64KiB');"
            "COMMIT",
            store);
    while (rc != SQLITE_OK && is_in_the_way(db, rc));
    if (rc != SQLITE_OK)
        test_die("making the tables: %s", sqlite3_errmsg(db));
}

/* The process's counter of a table, which is there. */
static uint64_t
ask_counter(sqlite3 *db, const char *table, int process)
{
    char text[100];

    (void)snprintf(text, sizeof text, "SELECT value FROM %s WHERE key = 'n%d'", table, process);
    return ask(db, text);
}

/* Where the process is, whose last one may have been killed in a transaction. */
static void
find_place(sqlite3 *db, int process)
{
    struct shared *mine = &shared[process];
    uint64_t native, kv;

    while (sql_try(db, "BEGIN IMMEDIATE") != SQLITE_OK)
        if (processes == 1)
            test_die("BEGIN IMMEDIATE: %s", sqlite3_errmsg(db));
    native = ask_counter(db, "native", process);
    kv = ask_counter(db, "kv", process);
    sql_run(db, "ROLLBACK");
    if (native != kv || kv < atomic_load(&mine->committed) || kv > atomic_load(&mine->begun))
        test_die("after a kill the native table is at %llu and the txkv table at %llu; committed "
                 "was %llu, begun %llu",
                 (unsigned long long)native, (unsigned long long)kv,
                 (unsigned long long)atomic_load(&mine->committed),
                 (unsigned long long)atomic_load(&mine->begun));
    atomic_store(&mine->begun, kv);
    atomic_store(&mine->committed, kv);
}

struct job {
    int process;
    struct rng rng;
};

/* True when it ended with all closed. */
static bool
run_once(struct job *job)
{
    struct txkv *opened = open_store();
    sqlite3 *db = open_file();

    make_tables(db);
    find_place(db, job->process);
    commit_some(db, job->process, &job->rng);
    if (rng_chance(&job->rng, 50))
        return false;
    (void)sqlite3_close(db);
    close_store(opened);
    return true;
}

static void
run_job(void *arg)
{
    (void)run_once(arg);
}

static void
work_with_processes(struct rng *rng)
{
    int places[PROCESSES] = { -1, -1 };
    int starts = 0;

    while (starts < STARTS_MAX || !rng_chance(rng, 5)) {
        int running = 0;

        for (int i = 0; i < PROCESSES; i++) {
            struct job job = { .process = i };

            if (places[i] < 0 || !machine_runs(places[i])) {
                if (starts == STARTS_MAX)
                    continue;
                starts++;
                rng_seed(&job.rng, rng_next(rng));
                places[i] = machine_start(run_job, &job);
            }
            running++;
        }
        if (running == 0)
            break;
        test_sleep_us(1000);
    }
}

static void
work(const char *root, struct rng *rng)
{
    struct job job = { .process = 0 };

    name_files(root);
    if (processes > 1) {
        work_with_processes(rng);
    } else {
        rng_seed(&job.rng, rng_next(rng));
        while (run_once(&job) && rng_chance(&job.rng, 60)) {
            /* once more */
        }
    }
    machine_power_off();
}

/* ---- the judge ---- */

static uint64_t
count_rows(sqlite3 *db, const char *table)
{
    char text[100];

    (void)snprintf(text, sizeof text, "SELECT count(*) + coalesce(sum(length(value)), 0) FROM %s",
                   table);
    return ask(db, text);
}

static void
judge_counters(sqlite3 *db, int process)
{
    const struct shared *theirs = &shared[process];
    const uint64_t native = ask_counter(db, "native", process);
    const uint64_t kv = ask_counter(db, "kv", process);

    if (native != kv)
        test_die("process %d: the native table is at %llu and the txkv table at %llu", process,
                 (unsigned long long)native, (unsigned long long)kv);
    if (kv < theirs->least || kv > theirs->most)
        test_die("process %d: both are at %llu; committed was %llu, begun %llu", process,
                 (unsigned long long)kv, (unsigned long long)theirs->least,
                 (unsigned long long)theirs->most);
    found[process] = kv;
}

static void
judge(const char *root, struct rng *rng)
{
    struct txkv *opened = NULL;
    sqlite3 *db;

    name_files(root);
    memset(found, 0, sizeof found);
    if (rng_chance(rng, 50))
        opened = open_store(); /* before the file */
    db = open_file();
    if (shared[0].least + shared[1].least > 0 ||
        ask(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'kv'") > 0) {
        for (int i = 0; i < PROCESSES; i++)
            judge_counters(db, i);
        if (count_rows(db, "native") != count_rows(db, "kv"))
            test_die("the tables have other rows, at %llu and %llu", (unsigned long long)found[0],
                     (unsigned long long)found[1]);
    }
    (void)sqlite3_close(db);
    close_store(opened);
}

static void
next(void)
{
    for (int i = 0; i < PROCESSES; i++) {
        atomic_store(&shared[i].begun, found[i]);
        atomic_store(&shared[i].committed, found[i]);
    }
}

static void
begin(struct machine *machine, uint64_t seed, struct rng *rng)
{
    static const char *const modes[] = { "wal", "delete", "truncate", "persist" };

    (void)machine;
    memset(shared, 0, PROCESSES * sizeof *shared);
    journal_mode = modes[rng_below(rng, 4)];
    processes = 1 + (int)(seed % 2);
    if (getenv("VERBOSE") != NULL)
        printf("SEED=%llu: journal_mode=%s, %d processes\n", (unsigned long long)seed, journal_mode,
               processes);
}

int
main(int argc, char **argv)
{
    struct machine machine = { .begin = begin,
                               .work = work,
                               .before_cut = before_cut,
                               .after_cut = after_cut,
                               .judge = judge,
                               .next = next,
                               .cut_percent = 10 };

    shared = test_shared_memory(PROCESSES * sizeof *shared);
    machine_lives(argc, argv, "power_sql", 1000, EPOCHS, &machine);
    printf("%llu power cuts; lost: 0, wrong: 0\n", (unsigned long long)machine_cuts());
    return test_summary(machine_cuts(), 0);
}
