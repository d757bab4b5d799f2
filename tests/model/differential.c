/*
 * differential.c - random SQL on a txkv table and on a native WITHOUT ROWID table: same answers.
 *
 *   differential [SEEDS [STATEMENTS]]      SEED=n: start at seed n
 *
 * Two connections run the same text; in one `kv` is temp.kv, a txkv table, in the other a native
 * table `kv(key PRIMARY KEY, value) WITHOUT ROWID`. After every statement rows, extended result
 * code, changes() and the autocommit state must agree. Between statements, and without a
 * counterpart on the native side, the store is checkpointed and its connection opened anew.
 *
 * What is not tried, because it differs by nature: an UPDATE that moves several keys onto rows
 * which it has still to visit (a virtual table's new rows are all computed before the first is
 * written), rows without ORDER BY, and changes() after a statement that is no INSERT, UPDATE or
 * DELETE.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/sql.h"
#include "../support/support.h"
#include "answer.h"
#include "sqlgen.h"
#include "text.h"

enum { NATIVE, TXKV, SIDES, SHOWN = 25 };

static struct rng rng;
static sqlite3 *dbs[SIDES];
static struct answer answers[SIDES];
static char store_dir[TEST_PATH_BYTES];
static uint64_t total_statements, total_failed;

/* ---- both sides ---- */

/* All statements go to a file beside the store, the newest to the screen. */
static void
show_mismatch(void)
{
    char path[TEST_PATH_BYTES];
    FILE *file;

    test_path(path, store_dir, "statements.sql");
    file = fopen(path, "we");
    for (uint64_t i = 0; i < history_count; i++) {
        if (file != NULL)
            (void)fprintf(file, "%s;\n", history[i]);
        if (i + SHOWN >= history_count)
            (void)fprintf(stderr, "%6llu  %s;\n", (unsigned long long)i, history[i]);
    }
    if (file != NULL)
        (void)fclose(file);
    (void)fprintf(stderr, "native: %s%s\ntxkv:   %s%s\nall statements: %s\n", answers[NATIVE].text,
                  answers[NATIVE].message, answers[TXKV].text, answers[TXKV].message, path);
}

static bool
run_both(const char *sql)
{
    history_add(sql);
    for (int side = 0; side < SIDES; side++)
        answer_run(&answers[side], dbs[side], sql, 0);
    total_failed += answers[NATIVE].code != SQLITE_DONE;
    total_statements++;
    if (answer_same(&answers[NATIVE], &answers[TXKV]))
        return true;
    show_mismatch();
    return false;
}

/* ---- one seed ---- */

static void
open_txkv(void)
{
    dbs[TXKV] = sql_open(1);
    sql_run(dbs[TXKV],
            "CREATE TABLE j(id INTEGER PRIMARY KEY, ref);"
            "CREATE VIRTUAL TABLE temp.kv USING txkv('%s', sync=off, checkpoint_bytes=65536)",
            store_dir);
}

/* The native table `j` of the old connection is written into the new one. */
static void
reopen_txkv(void)
{
    sqlite3_stmt *stmt = NULL;

    if (!sqlite3_get_autocommit(dbs[TXKV]))
        return;
    if (sqlite3_close(dbs[TXKV]) != SQLITE_OK)
        test_die("close: %s", sqlite3_errmsg(dbs[TXKV]));
    open_txkv();
    if (sqlite3_prepare_v2(dbs[NATIVE], "SELECT id, ref FROM j", -1, &stmt, NULL) != SQLITE_OK)
        test_die("prepare: %s", sqlite3_errmsg(dbs[NATIVE]));
    while (sqlite3_step(stmt) == SQLITE_ROW)
        sql_run(dbs[TXKV], "INSERT INTO j VALUES(%d, %d)", sqlite3_column_int(stmt, 0),
                sqlite3_column_int(stmt, 1));
    (void)sqlite3_finalize(stmt);
    /* So that changes(), which a failing statement may leave alone, is the same on both sides. */
    for (int side = 0; side < SIDES; side++)
        sql_run(dbs[side], "DELETE FROM j WHERE 0");
}

static bool
run_seed(uint64_t seed, uint64_t statements)
{
    static struct text t;
    static const char everything[] = "SELECT key, value FROM kv ORDER BY key";
    bool ok = true;

    test_seed_is(seed);
    rng_seed(&rng, seed);
    test_dir_make(store_dir, "differential");
    dbs[NATIVE] = sql_open(0);
    sql_run(dbs[NATIVE], "CREATE TABLE j(id INTEGER PRIMARY KEY, ref);"
                         "CREATE TABLE kv(key PRIMARY KEY, value) WITHOUT ROWID");
    open_txkv();
    for (uint64_t i = 0; ok && i < statements; i++) {
        if (rng_below(&rng, 200) == 0)
            sql_run(dbs[TXKV], "SELECT txkv_checkpoint('kv')");
        if (rng_below(&rng, 500) == 0)
            reopen_txkv();
        sql_random(&rng, history_count, &t);
        ok = run_both(t.data);
        if (ok && i % 50 == 0)
            ok = run_both(everything);
    }
    ok = ok && run_both(everything);
    for (int side = 0; side < SIDES; side++)
        (void)sqlite3_close(dbs[side]);
    (void)printf("[%s] SEED=%llu: %llu statements\n", ok ? "  OK  " : "FAILED",
                 (unsigned long long)seed, (unsigned long long)history_count);
    history_forget();
    if (ok)
        test_dir_remove(store_dir);
    return ok;
}

int
main(int argc, char **argv)
{
    const uint64_t seeds = test_argument(argc, argv, 1, 6);
    const uint64_t statements = test_argument(argc, argv, 2, 4000);
    const uint64_t first = test_seed(1);
    uint64_t passed = 0;

    (void)printf("differential: %llu seeds from SEED=%llu, %llu statements each\n",
                 (unsigned long long)seeds, (unsigned long long)first,
                 (unsigned long long)statements);
    for (uint64_t i = 0; i < seeds; i++)
        passed += run_seed(first + i, statements);
    (void)printf("%llu statements agreed or stopped their seed, %llu of them were errors\n",
                 (unsigned long long)total_statements, (unsigned long long)total_failed);
    for (int side = 0; side < SIDES; side++)
        free(answers[side].text);
    return test_summary(passed, seeds - passed);
}
