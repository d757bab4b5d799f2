/*
 * shapes.c - random SQL on random txkv tables with declared columns and on their native twins:
 * same answers.
 *
 *   shapes [SEEDS [STATEMENTS]]      SEED=n: start at seed n
 *
 * Every seed makes a table of its own: columns with types and collations, a key of each kind, NOT
 * NULL, UNIQUE, indexes. Two connections run the same text; in one `t` is temp.t, a txkv table, in
 * the other a native table. After every statement the rows, the extended result code, the error's
 * text, changes(), last_insert_rowid() and the autocommit state must agree. Between statements the
 * store is checkpointed, and its connection opened anew, with and without the definitions.
 *
 * What is not tried, because it differs by nature: an UPDATE of several rows that a constraint
 * could stop half-way (a virtual table's new rows are all computed before the first is written),
 * and a column without a type compared with one that has one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/sql.h"
#include "../support/support.h"
#include "answer.h"
#include "shapegen.h"
#include "text.h"

enum { NATIVE, TXKV, SIDES, SHOWN = 30 };

static struct rng rng;
static struct shape shape;
static sqlite3 *dbs[SIDES];
static struct answer answers[SIDES];
static char store_dir[TEST_PATH_BYTES];
static struct text definitions; /* what the txkv table was made with */
static uint64_t total_statements, total_failed;

static const char helpers[] = "CREATE TABLE u(n); INSERT INTO u VALUES(1), (2), (3), (5), (8)";

static void
show_mismatch(void)
{
    (void)fprintf(stderr, "table t(%s)\n", definitions.data);
    for (uint64_t i = history_count > SHOWN ? history_count - SHOWN : 0; i < history_count; i++)
        (void)fprintf(stderr, "%6llu  %s;\n", (unsigned long long)i, history[i]);
    (void)fprintf(stderr, "native: %s\ntxkv:   %s\n", answers[NATIVE].text, answers[TXKV].text);
}

static bool
run_both(const char *sql, unsigned flags)
{
    history_add(sql);
    for (int side = 0; side < SIDES; side++)
        answer_run(&answers[side], dbs[side], sql, flags);
    total_failed += answers[NATIVE].code != SQLITE_DONE;
    total_statements++;
    if (answer_same(&answers[NATIVE], &answers[TXKV]))
        return true;
    show_mismatch();
    return false;
}

/* ---- one seed ---- */

static void
open_txkv(bool defined)
{
    dbs[TXKV] = sql_open(1);
    sql_run(
        dbs[TXKV],
        "%s; CREATE VIRTUAL TABLE temp.t USING txkv('%s', sync=off, checkpoint_bytes=65536%s%s)",
        helpers, store_dir, defined ? ", " : "", defined ? definitions.data : "");
}

static void
open_native(void)
{
    struct text t = { .used = 0 };

    dbs[NATIVE] = sql_open(0);
    shape_definitions(&shape, false, &t);
    sql_run(dbs[NATIVE], "%s; CREATE TABLE t(%s)%s", helpers, t.data,
            shape.has_rowid ? "" : " WITHOUT ROWID");
}

/* The same for both sides: a failing statement may leave changes() and last_insert_rowid() alone.
 */
static void
reopen_txkv(void)
{
    if (!sqlite3_get_autocommit(dbs[TXKV]))
        return;
    if (sqlite3_close(dbs[TXKV]) != SQLITE_OK)
        test_die("close: %s", sqlite3_errmsg(dbs[TXKV]));
    open_txkv(rng_below(&rng, 2) == 0);
    for (int side = 0; side < SIDES; side++) {
        sql_run(dbs[side], "DELETE FROM u WHERE 0");
        sqlite3_set_last_insert_rowid(dbs[side], 0);
    }
}

/* Every index and the table itself hold the same rows. */
static bool
check_everything(void)
{
    bool ok = run_both("SELECT * FROM t", ANSWER_UNORDERED);

    for (int i = 0; ok && i < shape.columns; i++) {
        char sql[200];

        (void)snprintf(sql, sizeof sql, "SELECT %s FROM t ORDER BY %s", shape.column[i].name,
                       shape.column[i].name);
        ok = run_both(sql, ANSWER_UNORDERED);
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM t WHERE %s IS NULL",
                       shape.column[i].name);
        ok = ok && run_both(sql, 0);
    }
    return ok;
}

static bool
run_seed(uint64_t seed, uint64_t statements)
{
    static struct text t;
    bool ok = true;

    test_seed_is(seed);
    rng_seed(&rng, seed);
    test_dir_make_in_memory(store_dir, "shapes");
    shape_random(&rng, &shape);
    definitions.used = 0;
    shape_definitions(&shape, true, &definitions);
    open_native();
    open_txkv(true);
    for (uint64_t i = 0; ok && i < statements; i++) {
        unsigned flags;

        if (rng_below(&rng, 80) == 0)
            sql_run(dbs[TXKV], "SELECT txkv_checkpoint('t')");
        if (rng_below(&rng, 100) == 0)
            reopen_txkv();
        shape_statement(&rng, &shape, &t, &flags);
        ok = run_both(t.data, flags);
        if (ok && i % 50 == 0)
            ok = check_everything();
    }
    ok = ok && check_everything();
    for (int side = 0; side < SIDES; side++)
        (void)sqlite3_close(dbs[side]);
    if (!ok)
        (void)printf("[FAILED] SEED=%llu: %llu statements\n", (unsigned long long)seed,
                     (unsigned long long)history_count);
    history_forget();
    test_dir_remove(store_dir);
    return ok;
}

int
main(int argc, char **argv)
{
    const uint64_t seeds = test_argument(argc, argv, 1, 60);
    const uint64_t statements = test_argument(argc, argv, 2, 200);
    const uint64_t first = test_seed(1);
    uint64_t passed = 0;

    (void)printf("shapes: %llu seeds from SEED=%llu, %llu statements each\n",
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
