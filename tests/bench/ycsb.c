/*
 * ycsb.c - the core workloads A to F of the Yahoo! Cloud Serving Benchmark (Cooper et al., SoCC
 * 2010), on the rows of all other works.
 *
 *   A  half reads, half updates            D  95 % reads of the latest rows, 5 % inserts
 *   B  95 % reads, 5 % updates             E  95 % scans of 1 to 100 rows, 5 % inserts
 *   C  reads only                          F  half reads, half read-modify-write transactions
 *
 * Keys are zipfian with theta 0.99, by the method of Gray et al. (SIGMOD 1994), and scattered over
 * all rows by a hash; in D they count back from the latest row. An inserted row stands behind all
 * others, and only acknowledged ones are read. Updated rows are everybody's: what a worker wrote
 * last must be there, or a later write of another one of this run.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kv.h"

#define THETA     0.99
#define SCAN_ROWS 100

/* The same for all workers; set before they start. */
static struct {
    double items, alpha, zeta, eta, second;
} zipf;

void
ycsb_prepare(struct run *r)
{
    uint32_t items = r->rows;
    zipf.zeta = 0;
    for (uint32_t i = 1; i <= items; i++)
        zipf.zeta += pow(1.0 / i, THETA);
    zipf.items = items;
    zipf.alpha = 1 / (1 - THETA);
    zipf.second = 1 + pow(0.5, THETA);
    zipf.eta = (1 - pow(2.0 / items, 1 - THETA)) / (1 - zipf.second / zipf.zeta);
}

/* 0 is the most frequent. */
static uint32_t
next_rank(struct worker *w)
{
    double u = worker_random(w, UINT32_MAX) / (double)UINT32_MAX;
    double uz = u * zipf.zeta;
    if (uz < 1)
        return 0;
    if (uz < zipf.second)
        return 1;
    double rank = zipf.items * pow(zipf.eta * u - zipf.eta + 1, zipf.alpha);
    return rank < zipf.items ? (uint32_t)rank : (uint32_t)zipf.items - 1;
}

/* FNV-1a of the rank: the frequent rows lie anywhere. */
static uint32_t
next_row(struct worker *w)
{
    uint64_t rank = next_rank(w);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < 8; i++, rank >>= 8)
        hash = (hash ^ (rank & 0xff)) * 0x100000001b3u;
    return (uint32_t)(hash % w->run->rows);
}

static bool
next_is_read(struct worker *w)
{
    return worker_random(w, 100) < (uint32_t)w->run->work->reads_percent;
}

static void
read_any(struct worker *w)
{
    row_key(w->key, next_row(w));
    worker_read(w);
}

/* A, B and C. */
void
op_ycsb_update(struct worker *w)
{
    if (next_is_read(w)) {
        read_any(w);
    } else {
        worker_note_write(w, next_row(w));
        worker_update(w);
    }
    w->done++;
}

/* F. */
void
op_ycsb_increment(struct worker *w)
{
    if (next_is_read(w)) {
        read_any(w);
    } else {
        row_key(w->key, next_row(w));
        worker_increment(w);
    }
    w->done++;
}

/* Behind all rows. What says that it is on its way stands there before its number is taken. */
static void
insert(struct worker *w)
{
    uint32_t rows = w->run->rows;
    atomic_store(&w->inserting, rows + atomic_load(&w->run->inserted));
    worker_note_write(w, rows + atomic_fetch_add(&w->run->inserted, 1));
    worker_update(w);
    atomic_store(&w->inserting, UINT32_MAX);
}

/* All rows below it are acknowledged. */
static uint32_t
acknowledged(struct worker *w)
{
    uint32_t limit = w->run->rows + atomic_load(&w->run->inserted);
    for (uint32_t i = 0; i < w->crew->count; i++) {
        uint32_t inserting = atomic_load(&w->crew->workers[i].inserting);
        limit = inserting < limit ? inserting : limit;
    }
    return limit;
}

/* D. */
void
op_ycsb_latest(struct worker *w)
{
    if (next_is_read(w)) {
        row_key(w->key, acknowledged(w) - 1 - next_rank(w));
        worker_read(w);
    } else {
        insert(w);
    }
    w->done++;
}

/* A row of a scan, which must be the next one. */
static void
check_row(struct worker *w, uint32_t row, const void *key, size_t key_bytes)
{
    char expected[KEY_BYTES];
    row_key(expected, row);
    if (!key || key_bytes != KEY_BYTES || memcmp(key, expected, KEY_BYTES) != 0)
        run_fail(w->run, "a scan came to another key than %.*s", KEY_BYTES, expected);
}

static uint32_t
scan_kv(struct worker *w, uint32_t first, uint32_t limit)
{
    const struct kv_library *kv = w->run->library;
    struct kv_row row;
    uint32_t rows = 0;
    bool more = kv->seek(w->session, w->key, KEY_BYTES, &row);
    while (more && rows < limit) {
        check_row(w, first + rows, row.key, row.key_bytes);
        worker_check_value(w, row.key, row.value, row.value_bytes);
        more = ++rows < limit && kv->next(w->session, &row);
    }
    kv->end(w->session);
    return rows;
}

static uint32_t
scan_sql(struct worker *w, uint32_t first, uint32_t limit)
{
    sqlite3_stmt *stmt = w->stmt;
    uint32_t rows = 0;
    (void)sqlite3_bind_int64(stmt, sqlite3_bind_parameter_index(stmt, ":limit"), limit);
    int rc = sqlite3_step(stmt);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(stmt)) {
        const void *key = sqlite3_column_text(stmt, 0);
        check_row(w, first + rows, key, (size_t)sqlite3_column_bytes(stmt, 0));
        const void *value = sqlite3_column_text(stmt, 1);
        worker_check_value(w, key, value, (size_t)sqlite3_column_bytes(stmt, 1));
        rows++;
    }
    if (rc != SQLITE_DONE)
        run_fail(w->run, "a scan: %s", sqlite3_errmsg(w->db));
    (void)sqlite3_reset(stmt);
    return rows;
}

/* E. An insert that is on its way may leave a gap, so a scan stays below it. */
void
op_ycsb_scan(struct worker *w)
{
    if (!next_is_read(w)) {
        insert(w);
        w->done++;
        return;
    }
    uint32_t first = next_row(w);
    uint32_t there = acknowledged(w) - first;
    uint32_t limit = 1 + worker_random(w, SCAN_ROWS);
    limit = limit < there ? limit : there;
    row_key(w->key, first);
    uint32_t rows = w->session ? scan_kv(w, first, limit) : scan_sql(w, first, limit);
    if (rows != limit)
        run_fail(w->run, "a scan gave %" PRIu32 " rows, not %" PRIu32, rows, limit);
    w->done++;
}
