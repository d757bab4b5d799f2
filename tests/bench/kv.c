/*
 * kv.c - the works through a key-value library, and their checks.
 *
 * What the ops of ops.c do in SQL is done here in calls, on the same rows and with the same checks.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

#define LOAD_BATCH 10000

const struct kv_library *
kv_library(enum engine engine)
{
    if (engine == ENGINE_LMDB)
        return kv_lmdb;
    if (engine == ENGINE_ROCKSDB)
        return kv_rocksdb;
    return engine == ENGINE_LEVELDB ? kv_leveldb : NULL;
}

void *
kv_new(struct run *r, size_t bytes)
{
    void *new = calloc(1, bytes);
    if (!new)
        run_fail(r, "out of memory");
    return new;
}

void
kv_open(struct run *r)
{
    r->kv = r->library->open(r);
}

void
kv_close(struct run *r)
{
    r->library->close(r, r->kv);
    r->kv = NULL;
}

void
kv_attach(struct worker *w)
{
    w->session = w->run->library->attach(w->run, w->run->kv);
}

void
kv_detach(struct worker *w)
{
    w->run->library->detach(w->session);
    w->session = NULL;
}

void
kv_begin_reading(struct worker *w)
{
    w->run->library->begin(w->session, KV_READ);
}

void
kv_end_reading(struct worker *w)
{
    (void)w->run->library->commit(w->session);
}

/* ---- ops ---- */

static void
put_next(struct worker *w)
{
    worker_next_write(w);
    w->run->library->put(w->session, (struct kv_row){ w->key, w->value, KEY_BYTES, VALUE_BYTES });
}

/* It has read nothing, and so nobody can have come first. */
static void
commit_writes(struct worker *w)
{
    if (!w->run->library->commit(w->session))
        run_fail(w->run, "a transaction of writes was refused");
}

static void
upsert(struct worker *w)
{
    w->run->library->begin(w->session, KV_WRITE);
    put_next(w);
    commit_writes(w);
    w->done++;
}

static void
upsert_txn(struct worker *w)
{
    w->run->library->begin(w->session, KV_WRITE);
    for (int i = 0; i < TXN_UPSERTS; i++)
        put_next(w);
    commit_writes(w);
    w->done += TXN_UPSERTS;
}

/* The value of the key in w->key. */
static struct kv_row
get(struct worker *w)
{
    struct kv_row row;
    if (!w->run->library->get(w->session, w->key, KEY_BYTES, &row))
        run_fail(w->run, "key %.*s is missing", KEY_BYTES, w->key);
    worker_check_value(w, w->key, row.value, row.value_bytes);
    return row;
}

void
kv_read(struct worker *w)
{
    (void)get(w);
}

bool
kv_is_there(struct worker *w)
{
    struct kv_row row;
    return w->run->library->get(w->session, w->key, KEY_BYTES, &row);
}

void
kv_put(struct worker *w)
{
    w->run->library->begin(w->session, KV_WRITE);
    w->run->library->put(w->session, (struct kv_row){ w->key, w->value, KEY_BYTES, VALUE_BYTES });
    commit_writes(w);
}

void
kv_increment(struct worker *w)
{
    const struct kv_library *kv = w->run->library;
    for (;; w->retries++) {
        kv->begin(w->session, KV_UPDATE);
        memcpy(w->value, get(w).value, VALUE_BYTES);
        row_count_up(w->value);
        kv->put(w->session, (struct kv_row){ w->key, w->value, KEY_BYTES, VALUE_BYTES });
        if (kv->commit(w->session))
            break;
    }
}

static void
range(struct worker *w)
{
    const struct kv_library *kv = w->run->library;
    uint32_t first = worker_random(w, w->run->rows - RANGE_ROWS);
    uint32_t rows = 0;
    struct kv_row row;
    row_key(w->key, first);
    row_key(w->key_end, first + RANGE_ROWS);
    bool more = kv->seek(w->session, w->key, KEY_BYTES, &row);
    for (; more && memcmp(row.key, w->key_end, KEY_BYTES) < 0; more = kv->next(w->session, &row)) {
        if (row.key_bytes != KEY_BYTES)
            run_fail(w->run, "a wrong key in the range from %.*s", KEY_BYTES, w->key);
        worker_check_value(w, row.key, row.value, row.value_bytes);
        rows++;
    }
    kv->end(w->session);
    if (rows != RANGE_ROWS)
        run_fail(w->run, "a range gave %" PRIu32 " rows, not %d", rows, RANGE_ROWS);
    w->done += rows;
}

static void
scan(struct worker *w)
{
    const struct kv_library *kv = w->run->library;
    uint32_t rows = 0;
    uint64_t bytes = 0;
    struct kv_row row;
    bool more = kv->seek(w->session, "", 0, &row);
    for (; more; more = kv->next(w->session, &row)) {
        rows++;
        bytes += row.value_bytes;
    }
    kv->end(w->session);
    if (rows != w->run->rows || bytes != (uint64_t)rows * VALUE_BYTES)
        run_fail(w->run, "a scan gave wrong totals");
    w->done += rows;
}

worker_op
kv_op(worker_op op)
{
    static const struct {
        worker_op sql, kv;
    } ops[] = { { op_upsert, upsert },
                { op_upsert_txn, upsert_txn },
                { op_range, range },
                { op_scan, scan },
                { op_point, op_point },
                { op_point_miss, op_point_miss },
                { op_sized_upsert, op_sized_upsert },
                { op_sized_read, op_sized_read },
                { op_increment, op_increment },
                { op_ycsb_update, op_ycsb_update },
                { op_ycsb_latest, op_ycsb_latest },
                { op_ycsb_scan, op_ycsb_scan },
                { op_ycsb_increment, op_ycsb_increment } };
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (ops[i].sql == op)
            return ops[i].kv;
    }
    return NULL;
}

/* ---- checks ---- */

bool
kv_fetch(struct run *r, void *session, const char *key, char value[VALUE_BYTES])
{
    struct kv_row row;
    if (!r->library->get(session, key, KEY_BYTES, &row) || row.value_bytes != VALUE_BYTES)
        return false;
    memcpy(value, row.value, VALUE_BYTES);
    return true;
}

/* Every key once and in order, so that these are the rows 0 to rows-1. */
void
kv_verify_totals(struct run *r, void *session, uint32_t rows)
{
    const struct kv_library *kv = r->library;
    uint32_t found = 0;
    struct kv_row row;
    char key[KEY_BYTES];
    bool more = kv->seek(session, "", 0, &row);
    for (; more; more = kv->next(session, &row), found++) {
        row_key(key, found);
        bool of_row = row.value_bytes == r->value_bytes;
        if (r->value_bytes == VALUE_BYTES)
            of_row = of_row && memcmp(row.value, key, KEY_BYTES) == 0;
        if (row.key_bytes != KEY_BYTES || memcmp(row.key, key, KEY_BYTES) != 0 || !of_row)
            run_fail(r, "row %" PRIu32 " is not the next one", found);
    }
    kv->end(session);
    if (found != rows)
        run_fail(r, "wrong totals: %" PRIu32 " rows, not %" PRIu32, found, rows);
}

int64_t
kv_counters(struct run *r, void *session)
{
    const struct kv_library *kv = r->library;
    int64_t sum = 0;
    struct kv_row row;
    bool more = kv->seek(session, "", 0, &row);
    for (; more; more = kv->next(session, &row))
        sum += row_counter(row.value);
    kv->end(session);
    return sum;
}

static void
verify_spots(struct run *r, void *session, uint32_t rows)
{
    char key[KEY_BYTES];
    char value[VALUE_BYTES];
    char found[VALUE_BYTES];
    for (uint32_t i = 0; i < 1000; i++) {
        row_key(key, row_shuffled(i % rows, rows));
        row_value(value, key, 0);
        if (!kv_fetch(r, session, key, found) || memcmp(found, value, VALUE_BYTES) != 0)
            run_fail(r, "the row of key %.*s is not what was written", KEY_BYTES, key);
    }
}

/* ---- loading ---- */

static void
load(struct run *r, void *session, uint32_t rows, uint32_t per_transaction, bool random)
{
    const struct kv_library *kv = r->library;
    char key[KEY_BYTES];
    char value[VALUE_BYTES];
    for (uint32_t i = 0; i < rows; i++) {
        if (i % per_transaction == 0)
            kv->begin(session, KV_WRITE);
        row_key(key, random ? row_shuffled(i, rows) : i);
        row_value(value, key, 0);
        kv->put(session, (struct kv_row){ key, value, KEY_BYTES, VALUE_BYTES });
        if (((i + 1) % per_transaction == 0 || i + 1 == rows) && !kv->commit(session))
            run_fail(r, "a transaction of writes was refused");
    }
}

void
kv_load_sorted(struct run *r, void *session, uint32_t rows)
{
    load(r, session, rows, rows, false);
}

void
kv_fixture_make(struct run *r)
{
    const struct kv_library *kv = r->library;
    kv_open(r);
    void *session = kv->attach(r, r->kv);
    load(r, session, r->rows, LOAD_BATCH, false);
    kv->checkpoint(r, r->kv);
    kv_verify_totals(r, session, r->rows);
    kv->detach(session);
    kv_close(r);
}

void
kv_measure_load(struct run *r)
{
    const struct kv_library *kv = r->library;
    uint32_t rows = r->rows;
    kv_open(r);
    void *session = kv->attach(r, r->kv);
    uint64_t start = now_ns();
    r->result->cpu_seconds = -cpu_now();
    load(r, session, rows, rows, r->work->random_keys);
    r->result->cpu_seconds += cpu_now();
    uint64_t committed = now_ns();
    r->result->commit_peak_kb = memory_now().peak_kb;
    kv->checkpoint(r, r->kv);
    r->result->after_ms = (double)(now_ns() - committed) / 1e6;
    r->result->memory = memory_now();
    r->result->count = rows;
    r->result->seconds = (double)(committed - start) / 1e9;
    r->result->value = rows / r->result->seconds;
    kv_verify_totals(r, session, rows);
    verify_spots(r, session, rows);
    kv->detach(session);
    kv_close(r);
}
