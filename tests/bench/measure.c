/*
 * measure.c - what is measured once, and not in a timed loop.
 */
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kv.h"

#define IDLE_AFTER_S 1 /* what the last operation left to do is done by then */
#define IDLE_S       2

/* All rows in one transaction; then the checkpoint, which is timed by itself but counts for the
 * memory. */
void
measure_load(struct run *r)
{
    if (r->library) {
        kv_measure_load(r);
        return;
    }
    uint32_t rows = r->rows;
    sqlite3 *db = db_open(r, "");
    uint64_t start = now_ns();
    r->result->cpu_seconds = -cpu_now();
    db_load(r, db, rows, rows);
    r->result->cpu_seconds += cpu_now();
    uint64_t committed = now_ns();
    r->result->commit_peak_kb = memory_now().peak_kb;
    db_checkpoint(r, db);
    r->result->after_ms = (double)(now_ns() - committed) / 1e6;
    r->result->memory = memory_now();
    r->result->count = rows;
    r->result->seconds = (double)(committed - start) / 1e9;
    r->result->value = rows / r->result->seconds;
    db_verify_totals(r, db, rows);
    db_verify_spots(r, db, rows);
    db_close(r, db);
}

/* From nothing open to the first row read; then all rows counted. */
void
measure_reopen(struct run *r)
{
    char key[KEY_BYTES];
    uint32_t rows = r->rows;
    row_key(key, rows - 1);
    uint64_t start = now_ns();
    sqlite3 *db = db_open(r, "");
    sqlite3_stmt *stmt = db_prepare(r, db, "SELECT value FROM kv WHERE key = :key");
    (void)sqlite3_bind_text(stmt, 1, key, KEY_BYTES, SQLITE_STATIC);
    if (sqlite3_step(stmt) != SQLITE_ROW)
        run_fail(r, "the last row is missing: %s", sqlite3_errmsg(db));
    uint64_t read_ns = now_ns();
    (void)sqlite3_finalize(stmt);
    int64_t found = db_integer(r, db, "SELECT count(*) FROM kv");
    r->result->after_ms = (double)(now_ns() - read_ns) / 1e6;
    if (found != rows)
        run_fail(r, "%" PRId64 " of %" PRIu32 " acknowledged rows are there", found, rows);
    r->result->value = (double)(read_ns - start) / 1e6;
    r->result->seconds = r->result->value / 1e3;
    r->result->count = rows;
    r->result->memory = memory_now();
    db_verify_totals(r, db, rows);
    db_verify_spots(r, db, rows);
    db_close(r, db);
}

/*
 * Rows logged in random order become sorted rows of LMDB. LMDB itself gets the same rows sorted, in
 * one transaction: what is left when there is no log to read and nothing to sort.
 */
void
measure_checkpoint(struct run *r)
{
    bool ours = !r->library;
    uint32_t rows = r->rows;
    sqlite3 *db = NULL;
    void *session = NULL;
    if (ours) {
        db = db_open(r, db_no_checkpoint);
        db_load(r, db, rows, 10000);
    } else {
        kv_open(r);
        session = r->library->attach(r, r->kv);
    }
    uint64_t start = now_ns();
    r->result->cpu_seconds = -cpu_now();
    if (ours)
        db_checkpoint(r, db);
    else
        kv_load_sorted(r, session, rows);
    r->result->cpu_seconds += cpu_now();
    r->result->seconds = (double)(now_ns() - start) / 1e9;
    r->result->memory = memory_now();
    r->result->count = rows;
    r->result->value = rows / r->result->seconds;
    if (ours) {
        db_verify_totals(r, db, rows);
        db_verify_spots(r, db, rows);
        db_close(r, db);
    } else {
        kv_verify_totals(r, session, rows);
        r->library->detach(session);
        kv_close(r);
    }
}

/* The same writes again, so that the store has had something to do. */
static void
touch(struct run *r, sqlite3 *db)
{
    db_exec(r, db, "REPLACE INTO kv SELECT key, value FROM kv WHERE key < 'user000000000100'");
}

void
measure_idle(struct run *r)
{
    sqlite3 *db = NULL;
    void *session = NULL;
    if (r->library) {
        kv_open(r);
        session = r->library->attach(r, r->kv);
    } else {
        db = db_open(r, "");
        touch(r, db);
    }
    (void)sleep(IDLE_AFTER_S);
    struct rusage before;
    struct rusage after;
    (void)getrusage(RUSAGE_SELF, &before);
    double cpu = cpu_now();
    (void)sleep(IDLE_S);
    r->result->cpu_seconds = cpu_now() - cpu;
    (void)getrusage(RUSAGE_SELF, &after);
    /* One of them is the sleep. */
    r->result->switches = (uint64_t)(after.ru_nvcsw - before.ru_nvcsw - 1);
    r->result->seconds = IDLE_S;
    r->result->value = r->result->cpu_seconds * 1e3;
    r->result->memory = memory_now();
    if (session) {
        r->library->detach(session);
        kv_close(r);
    } else {
        db_close(r, db);
    }
}
