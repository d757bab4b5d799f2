/*
 * fuzz_sql.c - SQL on txkv tables and on their native twins: the same answers.
 *
 * The statements are those of tests/model: the input makes the choices that a random number makes
 * there, and so the fuzzer looks for those that run other code. The tables are a few of
 * shapegen.h's, one after the other in the same store, and `kv(key, value)`.
 *
 * Input: a byte that picks the table; then choices, as many statements as they last for.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define SQLITE_CORE 1
#include "../../ext/init.h"
#include "../model/answer.h"
#include "../model/shapegen.h"
#include "../model/sqlgen.h"
#include "files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { NATIVE, TXKV, SIDES };
enum { SHAPES = 15, STATEMENTS_MAX = 60, PROGRESS_OPS = 1000, PROGRESS_MAX = 100 };

struct pair {
    sqlite3 *dbs[SIDES];
    struct shape shape;
    bool is_kv;
};

static struct pair pairs[SHAPES + 1];
static struct answer answers[SIDES];
static uint32_t calls; /* of the progress handler, in the statement that runs */

/* ---- connections ---- */

static int
progress(void *arg)
{
    (void)arg;
    return ++calls > PROGRESS_MAX;
}

__attribute__((format(printf, 2, 3))) static void
run(sqlite3 *db, const char *format, ...)
{
    char *message = NULL, *sql;
    va_list args;

    va_start(args, format);
    sql = sqlite3_vmprintf(format, args);
    va_end(args);
    calls = 0;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        test_die("%s: %s", sql, message);
    sqlite3_free(sql);
}

static void
open_both(struct pair *pair)
{
    for (int side = 0; side < SIDES; side++) {
        require(sqlite3_open(":memory:", &pair->dbs[side]) == SQLITE_OK);
        (void)sqlite3_extended_result_codes(pair->dbs[side], 1);
        sqlite3_progress_handler(pair->dbs[side], PROGRESS_OPS, progress, NULL);
        run(pair->dbs[side], "CREATE TABLE u(n); INSERT INTO u VALUES(1), (2), (3), (5), (8);"
                             "CREATE TABLE j(id INTEGER PRIMARY KEY, ref)");
    }
    require(sqlite3_txkv_init(pair->dbs[TXKV], NULL, NULL) == SQLITE_OK);
}

static struct pair *
get_pair(uint32_t i)
{
    struct pair *pair = &pairs[i];
    struct text with = { .used = 0 }, without = { .used = 0 };
    struct rng rng;

    if (pair->dbs[NATIVE] != NULL)
        return pair;
    open_both(pair);
    pair->is_kv = i == SHAPES;
    if (pair->is_kv) {
        run(pair->dbs[NATIVE], "CREATE TABLE kv(key PRIMARY KEY, value) WITHOUT ROWID");
        run(pair->dbs[TXKV],
            "CREATE VIRTUAL TABLE temp.kv USING txkv('%s/sql', sync=off, checkpoint_bytes=65536)",
            files_dir());
        return pair;
    }
    rng_seed(&rng, i);
    shape_random(&rng, &pair->shape);
    shape_definitions(&pair->shape, true, &with);
    shape_definitions(&pair->shape, false, &without);
    run(pair->dbs[NATIVE], "CREATE TABLE t(%s)%s", without.data,
        pair->shape.has_rowid ? "" : " WITHOUT ROWID");
    run(pair->dbs[TXKV],
        "CREATE VIRTUAL TABLE temp.t USING txkv('%s/sql', table=t%u, sync=off, "
        "checkpoint_bytes=65536, %s)",
        files_dir(), i, with.data);
    return pair;
}

/* ---- one input ---- */

/* Empty tables; and changes() and the like, which a failing statement leaves alone. */
static void
begin(const struct pair *pair)
{
    for (int side = 0; side < SIDES; side++) {
        sqlite3 *db = pair->dbs[side];

        if (!sqlite3_get_autocommit(db))
            run(db, "ROLLBACK");
        run(db, "DELETE FROM %s; DELETE FROM j; DELETE FROM u WHERE 0", pair->is_kv ? "kv" : "t");
        sqlite3_set_last_insert_rowid(db, 0);
    }
    history_forget();
}

static void
show_difference(void)
{
    for (uint64_t i = 0; i < history_count; i++)
        (void)fprintf(stderr, "%s;\n", history[i]);
    (void)fprintf(stderr, "native: %s%s\ntxkv:   %s%s\n", answers[NATIVE].text,
                  answers[NATIVE].message, answers[TXKV].text, answers[TXKV].message);
    abort();
}

/* False: it takes too long, on one side at least. */
static bool
run_both(const struct pair *pair, const char *sql, unsigned flags)
{
    bool is_cut = false;

    history_add(sql);
    for (int side = 0; side < SIDES; side++) {
        calls = 0;
        answer_run(&answers[side], pair->dbs[side], sql, flags);
        is_cut = is_cut || (answers[side].code & 0xff) == SQLITE_INTERRUPT;
    }
    if (is_cut)
        return false;
    if (!answer_same(&answers[NATIVE], &answers[TXKV]))
        show_difference();
    return true;
}

static void
checkpoint(const struct pair *pair)
{
    const char *sql = pair->is_kv ? "SELECT txkv_checkpoint('kv')" : "SELECT txkv_checkpoint('t')";

    history_add(sql);
    run(pair->dbs[TXKV], "%s", sql);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct text t;
    const struct pair *pair;
    struct rng rng;
    bool goes_on = true;

    rng_from_bytes(&rng, data, bytes);
    pair = get_pair(rng_below(&rng, SHAPES + 1));
    begin(pair);
    for (uint32_t i = 0; goes_on && i < STATEMENTS_MAX && rng.next < rng.end; i++) {
        unsigned flags = 0;

        if (rng_below(&rng, 32) == 31)
            checkpoint(pair);
        if (pair->is_kv)
            sql_random(&rng, i, &t);
        else
            shape_statement(&rng, &pair->shape, &t, &flags);
        goes_on = run_both(pair, t.data, flags);
    }
    if (goes_on && sqlite3_get_autocommit(pair->dbs[NATIVE]))
        (void)run_both(pair, pair->is_kv ? "SELECT * FROM kv ORDER BY key" : "SELECT * FROM t",
                       pair->is_kv ? 0 : ANSWER_UNORDERED);
    return 0;
}
