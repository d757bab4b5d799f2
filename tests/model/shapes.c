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
 * When they do not agree, the statements are cut down to those that it takes, and written to
 * build/shapes as a script for the shell: tests/sql_conformance.sh FILE runs it on both.
 *
 * What is not tried, because it differs by nature: an UPDATE of several rows that a constraint
 * could stop half-way (a virtual table's new rows are all computed before the first is written),
 * and a column without a type compared with one that has one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../support/sql.h"
#include "../support/support.h"
#include "answer.h"
#include "shapegen.h"
#include "shrink.h"
#include "text.h"

enum { NATIVE, TXKV, SIDES, SHOWN = 30, PLAYS_MAX = 3000 };

/* Steps that are no SQL. */
static const char checkpoint[] = "CHECKPOINT", reopen[] = "REOPEN t",
                  reopen_defined[] = "REOPEN t with its definitions";

static struct rng rng;
static struct shape shape;
static sqlite3 *dbs[SIDES];
static struct answer answers[SIDES];
static char store_dir[TEST_PATH_BYTES];
static struct text definitions; /* what the txkv table was made with */
static struct steps steps;      /* of this seed, so far */
static uint64_t total_statements, total_failed;

static const char helpers[] = "CREATE TABLE u(n); INSERT INTO u VALUES(1), (2), (3), (5), (8)";

/* ---- both sides ---- */

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
open_both(void)
{
    struct text t = { .used = 0 };

    test_dir_make_in_memory(store_dir, "shapes");
    dbs[NATIVE] = sql_open(0);
    shape_definitions(&shape, false, &t);
    sql_run(dbs[NATIVE], "%s; CREATE TABLE t(%s)%s", helpers, t.data,
            shape.has_rowid ? "" : " WITHOUT ROWID");
    open_txkv(true);
}

static void
close_both(void)
{
    for (int side = 0; side < SIDES; side++)
        (void)sqlite3_close(dbs[side]);
    test_dir_remove(store_dir);
}

/* The same for both sides: a failing statement may leave changes() and last_insert_rowid() alone.
 */
static void
reopen_txkv(bool defined)
{
    if (!sqlite3_get_autocommit(dbs[TXKV]))
        return;
    if (sqlite3_close(dbs[TXKV]) != SQLITE_OK)
        test_die("close: %s", sqlite3_errmsg(dbs[TXKV]));
    open_txkv(defined);
    for (int side = 0; side < SIDES; side++) {
        sql_run(dbs[side], "DELETE FROM u WHERE 0");
        sqlite3_set_last_insert_rowid(dbs[side], 0);
    }
}

/* Whether both sides agree. */
static bool
run_step(const char *sql, unsigned flags)
{
    if (strcmp(sql, checkpoint) == 0) {
        sql_run(dbs[TXKV], "SELECT txkv_checkpoint('t')");
        return true;
    }
    if (strncmp(sql, reopen, strlen(reopen)) == 0) {
        reopen_txkv(strcmp(sql, reopen_defined) == 0);
        return true;
    }
    for (int side = 0; side < SIDES; side++)
        answer_run(&answers[side], dbs[side], sql, flags);
    return answer_same(&answers[NATIVE], &answers[TXKV]);
}

static bool
run_both(const char *sql, unsigned flags)
{
    const bool same = run_step(sql, flags);

    steps_add(&steps, sql, flags);
    total_failed += answers[NATIVE].code != SQLITE_DONE;
    total_statements++;
    return same;
}

/* ---- a difference ---- */

static void
show_steps(const char *title)
{
    (void)fprintf(stderr, "%s, %zu statements; table t(%s)\n", title, steps.count,
                  definitions.data);
    for (size_t i = steps.count > SHOWN ? steps.count - SHOWN : 0; i < steps.count; i++)
        (void)fprintf(stderr, "%6zu  %s;\n", i, steps.data[i].sql);
    (void)fprintf(stderr, "native: %s\ntxkv:   %s\n", answers[NATIVE].text, answers[TXKV].text);
}

static size_t
play(const struct step *list, size_t count)
{
    size_t shown = 0;

    open_both();
    for (size_t i = 0; shown == 0 && i < count; i++)
        if (!run_step(list[i].sql, list[i].flags))
            shown = i + 1;
    close_both();
    return shown;
}

/* The steps as a script for tests/sql_conformance.sh. */
static void
write_script(uint64_t seed)
{
    char path[TEST_PATH_BYTES];
    FILE *out;

    (void)mkdir("build", 0777);
    (void)mkdir("build/shapes", 0777);
    (void)snprintf(path, sizeof path, "build/shapes/seed-%llu.sql", (unsigned long long)seed);
    out = fopen(path, "w");
    if (out == NULL)
        test_die("%s cannot be written", path);
    (void)fprintf(out, "-- SEED=%llu; tests/sql_conformance.sh %s\n.mode quote\n%s;\n",
                  (unsigned long long)seed, path, helpers);
    (void)fprintf(out, "TABLE t(%s)%s;\n", definitions.data,
                  shape.has_rowid ? "" : " WITHOUT ROWID");
    for (size_t i = 0; i < steps.count; i++) {
        const char *sql = steps.data[i].sql;

        if ((steps.data[i].flags & ANSWER_UNORDERED) != 0)
            (void)fprintf(out, "-- in any order:\n");
        (void)fprintf(out, "%s;\n", strncmp(sql, reopen, strlen(reopen)) == 0 ? reopen : sql);
    }
    (void)fprintf(out, "SELECT changes(), last_insert_rowid();\nSELECT count(*) FROM t;\n");
    (void)fclose(out);
    (void)printf("[FAILED] SEED=%llu: %zu statements show it: %s\n", (unsigned long long)seed,
                 steps.count, path);
}

static void
explain_difference(uint64_t seed)
{
    uint64_t plays;

    show_steps("a difference");
    plays = shrink(&steps, play, PLAYS_MAX);
    if (play(steps.data, steps.count) == 0) {
        (void)printf("[FAILED] SEED=%llu: it does not happen again\n", (unsigned long long)seed);
        return;
    }
    (void)fprintf(stderr, "cut down in %llu plays to\n", (unsigned long long)plays);
    show_steps("the difference");
    write_script(seed);
}

/* ---- one seed ---- */

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

static void
do_step(const char *what)
{
    steps_add(&steps, what, 0);
    (void)run_step(what, 0);
}

static bool
run_seed(uint64_t seed, uint64_t statements)
{
    static struct text t;
    bool ok = true;

    test_seed_is(seed);
    rng_seed(&rng, seed);
    shape_random(&rng, &shape);
    definitions.used = 0;
    shape_definitions(&shape, true, &definitions);
    open_both();
    for (uint64_t i = 0; ok && i < statements; i++) {
        unsigned flags;

        if (rng_below(&rng, 80) == 0)
            do_step(checkpoint);
        if (rng_below(&rng, 100) == 0)
            do_step(rng_below(&rng, 2) == 0 ? reopen : reopen_defined);
        shape_statement(&rng, &shape, &t, &flags);
        ok = run_both(t.data, flags);
        if (ok && i % 50 == 0)
            ok = check_everything();
    }
    ok = ok && check_everything();
    close_both();
    if (!ok)
        explain_difference(seed);
    steps_free(&steps);
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
