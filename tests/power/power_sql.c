/*
 * power_sql.c - a transaction over a txkv table and a native table of one file, and the power.
 *
 *   power_sql [CUTS]      SEED=n
 *
 * Goal: whatever the disk has kept, a transaction is in both tables or in neither, and one whose
 * COMMIT returned is in both; the file and the store open by themselves.
 *
 * Method: a machine (machine.h) adds one to a counter and a row to each of the two, in a loop, with
 * rollbacks, checkpoints of either, and connections closed and opened. SQLite's file calls go to
 * the model of the disk as the store's and LMDB's do. The judge opens the file or the store first,
 * in turn, and compares.
 */
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SQLITE_CORE 1
#include "../../ext/init.h"
#include "../../ext/prepared.h"
#include "../support/process.h"
#include "../support/sql.h"
#include "machine.h"

enum { EPOCHS = 8, TRANSACTIONS_MAX = 25, ROWS_KEPT = 5 };

struct shared {
    atomic_uint_fast64_t begun, committed;
    uint64_t least, most; /* of the cut that is judged */
};

static struct shared *shared;
static const char *journal_mode;
static uint64_t found;
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

static sqlite3 *
open_file(void)
{
    sqlite3 *db = open_path(file);

    sql_run(db, "PRAGMA journal_mode = %s; PRAGMA synchronous = full", journal_mode);
    sql_run(db, "PRAGMA wal_autocheckpoint = 12");
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
    shared->least = atomic_load(&shared->committed);
}

static void
after_cut(void)
{
    shared->most = atomic_load(&shared->begun);
}

static void
change(sqlite3 *db, uint64_t n)
{
    static const char *const tables[] = { "native", "kv" };

    for (uint64_t i = 0; i < 2; i++) {
        const char *table = tables[(i + n) % 2];

        sql_run(db, "REPLACE INTO %s VALUES('n', %llu)", table, (unsigned long long)n);
        sql_run(db, "REPLACE INTO %s VALUES('row ' || %llu, zeroblob(%llu))", table,
                (unsigned long long)n, (unsigned long long)(n % 5 * 1700 + 10));
        sql_run(db, "DELETE FROM %s WHERE key = 'row ' || %lld", table, (long long)n - ROWS_KEPT);
    }
}

static void
commit_some(sqlite3 *db, struct rng *rng)
{
    for (uint32_t i = rng_below(rng, TRANSACTIONS_MAX); i > 0; i--) {
        const uint64_t n = atomic_load(&shared->begun) + 1;

        if (rng_chance(rng, 10)) {
            sql_run(db, "BEGIN");
            change(db, n);
            sql_run(db, "ROLLBACK");
        }
        atomic_store(&shared->begun, n);
        sql_run(db, "BEGIN");
        change(db, n);
        sql_run(db, "COMMIT");
        atomic_store(&shared->committed, n);
        if (rng_chance(rng, 10))
            sql_run(db, "SELECT txkv_checkpoint('%s')", store);
        if (rng_chance(rng, 5))
            sql_run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
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
work(const char *root, struct rng *rng)
{
    name_files(root);
    do {
        struct txkv *opened = open_store();
        sqlite3 *db = open_file();

        sql_run(db,
                "BEGIN; CREATE TABLE IF NOT EXISTS native(key PRIMARY KEY, value);"
                "CREATE VIRTUAL TABLE IF NOT EXISTS kv USING txkv('%s', checkpoint_bytes='64KiB');"
                "COMMIT",
                store);
        commit_some(db, rng);
        if (rng_chance(rng, 50))
            break;
        (void)sqlite3_close(db);
        close_store(opened);
    } while (rng_chance(rng, 60));
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
judge(const char *root, struct rng *rng)
{
    struct txkv *opened = NULL;
    sqlite3 *db;
    uint64_t native, kv;

    name_files(root);
    if (rng_chance(rng, 50))
        opened = open_store(); /* before the file */
    db = open_file();
    if (shared->least == 0 &&
        ask(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'kv'") == 0) {
        (void)sqlite3_close(db);
        close_store(opened);
        found = 0;
        return;
    }
    native = ask(db, "SELECT value FROM native WHERE key = 'n'");
    kv = ask(db, "SELECT value FROM kv WHERE key = 'n'");
    if (native != kv)
        test_die("the native table is at %llu and the txkv table at %llu",
                 (unsigned long long)native, (unsigned long long)kv);
    if (kv < shared->least || kv > shared->most)
        test_die("both are at %llu; committed was %llu, begun %llu", (unsigned long long)kv,
                 (unsigned long long)shared->least, (unsigned long long)shared->most);
    if (count_rows(db, "native") != count_rows(db, "kv"))
        test_die("the tables have other rows, at %llu", (unsigned long long)kv);
    found = kv;
    (void)sqlite3_close(db);
    close_store(opened);
}

static void
next(void)
{
    atomic_store(&shared->begun, found);
    atomic_store(&shared->committed, found);
}

int
main(int argc, char **argv)
{
    static const char *const modes[] = { "wal", "delete", "truncate", "persist" };
    const uint64_t wanted = test_argument(argc, argv, 1, 1000);
    uint64_t seed = test_seed(test_now_us());
    char base[TEST_PATH_BYTES];

    printf("power_sql: %llu cuts, SEED=%llu\n", (unsigned long long)wanted,
           (unsigned long long)seed);
    (void)fflush(stdout);
    test_dir_make_in_memory(base, "power");
    shared = test_shared_memory(sizeof *shared);
    for (; machine_cuts() < wanted; seed++) {
        struct rng rng;

        test_seed_is(seed);
        rng_seed(&rng, seed);
        memset(shared, 0, sizeof *shared);
        journal_mode = modes[rng_below(&rng, 4)];
        machine_run(&(struct machine){ .work = work,
                                       .before_cut = before_cut,
                                       .after_cut = after_cut,
                                       .judge = judge,
                                       .next = next,
                                       .cut_percent = 10 },
                    EPOCHS, base, &rng);
    }
    test_dir_remove(base);
    machine_report();
    printf("%llu power cuts; lost: 0, wrong: 0\n", (unsigned long long)machine_cuts());
    return test_summary(machine_cuts(), 0);
}
