/*
 * workers.c - the timed loop.
 *
 * Every worker is a thread with its own connection and one prepared statement. All pass a barrier
 * together, then repeat the work's operation until the time is over; an operation that has begun is
 * finished and counted. Latencies are taken around every operation, or around every n-th where the
 * clock itself would weigh.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define LAST_WRITES 64
#define RANGE_ROWS  100

struct worker {
    struct run *run;
    struct crew *crew;
    uint32_t index;
    pthread_t thread;
    sqlite3 *db;
    sqlite3_stmt *stmt;
    int fd;          /* of the bare engines */
    uint64_t random; /* state of xorshift64 */
    uint64_t done;   /* operations, or rows for reads */
    uint64_t begin_ns, end_ns;
    uint64_t writes;
    uint32_t last_rows[LAST_WRITES]; /* row of write n at n % LAST_WRITES */
    char key[KEY_BYTES], key_end[KEY_BYTES], value[VALUE_BYTES];
    char record[RECORD_BYTES];
    struct hist latency;
};

struct crew {
    pthread_barrier_t start;
    atomic_bool stop;
};

uint64_t
now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double
cpu_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint32_t
random_below(struct worker *w, uint32_t limit)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(((w->random >> 32) * limit) >> 32);
}

/* Workers write disjoint rows, so that each knows what its last writes must have left. */
void
op_upsert(struct worker *w)
{
    uint32_t threads = (uint32_t)w->run->work->threads;
    uint32_t row = random_below(w, w->run->config->rows / threads) * threads + w->index;
    w->last_rows[w->writes % LAST_WRITES] = row;
    w->writes++;
    row_key(w->key, row);
    row_value(w->value, w->key, (uint64_t)(w->index + 1) << 48 | w->writes);
    if (sqlite3_step(w->stmt) != SQLITE_DONE)
        run_fail(w->run, "upsert: %s", sqlite3_errmsg(w->db));
    (void)sqlite3_reset(w->stmt);
    w->done++;
}

/* The statement stands on a row of that key, whoever wrote its value. */
static void
check_value(struct worker *w, const void *key, int column)
{
    const void *value = sqlite3_column_text(w->stmt, column);
    if (!value || sqlite3_column_bytes(w->stmt, column) != VALUE_BYTES ||
        memcmp(value, key, KEY_BYTES) != 0)
        run_fail(w->run, "a wrong value under key %.*s", KEY_BYTES, (const char *)key);
}

void
op_point(struct worker *w)
{
    row_key(w->key, random_below(w, w->run->config->rows));
    if (sqlite3_step(w->stmt) != SQLITE_ROW)
        run_fail(w->run, "key %.*s is missing: %s", KEY_BYTES, w->key, sqlite3_errmsg(w->db));
    check_value(w, w->key, 0);
    (void)sqlite3_reset(w->stmt);
    w->done++;
}

void
op_range(struct worker *w)
{
    uint32_t first = random_below(w, w->run->config->rows - RANGE_ROWS);
    row_key(w->key, first);
    row_key(w->key_end, first + RANGE_ROWS);
    uint32_t rows = 0;
    int rc = sqlite3_step(w->stmt);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(w->stmt)) {
        const void *key = sqlite3_column_text(w->stmt, 0);
        if (!key || sqlite3_column_bytes(w->stmt, 0) != KEY_BYTES)
            run_fail(w->run, "a wrong key in the range from %.*s", KEY_BYTES, w->key);
        check_value(w, key, 1);
        rows++;
    }
    if (rc != SQLITE_DONE || rows != RANGE_ROWS)
        run_fail(w->run, "a range gave %" PRIu32 " rows, not %d: %s", rows, RANGE_ROWS,
                 sqlite3_errmsg(w->db));
    (void)sqlite3_reset(w->stmt);
    w->done += rows;
}

void
op_scan(struct worker *w)
{
    uint32_t rows = w->run->config->rows;
    if (sqlite3_step(w->stmt) != SQLITE_ROW || sqlite3_column_int64(w->stmt, 0) != rows ||
        sqlite3_column_int64(w->stmt, 1) != (int64_t)rows * VALUE_BYTES)
        run_fail(w->run, "a scan gave wrong totals: %s", sqlite3_errmsg(w->db));
    (void)sqlite3_reset(w->stmt);
    w->done += rows;
}

static void
op_append(struct worker *w)
{
    off_t at = (off_t)(w->done * RECORD_BYTES);
    if (pwrite(w->fd, w->record, RECORD_BYTES, at) != RECORD_BYTES || fdatasync(w->fd) != 0)
        run_fail(w->run, "append failed");
    w->done++;
}

/* As much as any disk takes in the time, or nothing at all. */
static void
open_bare(struct worker *w)
{
    char path[PATH_BYTES + 16];
    (void)mkdir(w->run->store, 0700);
    (void)snprintf(path, sizeof(path), "%s/log", w->run->store);
    w->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (w->fd < 0)
        run_fail(w->run, "cannot create %s", path);
    off_t bytes = (off_t)(w->run->config->seconds * 100e3 * RECORD_BYTES);
    if (w->run->engine == ENGINE_PREALLOCATED && posix_fallocate(w->fd, 0, bytes) != 0)
        run_fail(w->run, "cannot allocate %s", path);
    if (fsync(w->fd) != 0)
        run_fail(w->run, "cannot sync %s", path);
    memset(w->record, 'r', sizeof(w->record));
}

static void
open_sql(struct worker *w)
{
    const struct work *work = w->run->work;
    w->db = db_open(w->run, work->fixture == FIXTURE_LOGGED ? db_no_checkpoint : "");
    w->stmt = db_prepare(w->run, w->db, work->sql);
    if (work->op == op_scan)
        return;
    (void)sqlite3_bind_text(w->stmt, 1, w->key, KEY_BYTES, SQLITE_STATIC);
    if (work->op == op_upsert)
        (void)sqlite3_bind_text(w->stmt, 2, w->value, VALUE_BYTES, SQLITE_STATIC);
    if (work->op == op_range)
        (void)sqlite3_bind_text(w->stmt, 2, w->key_end, KEY_BYTES, SQLITE_STATIC);
}

static void *
work_loop(void *arg)
{
    struct worker *w = arg;
    const struct work *work = w->run->work;
    bool bare = ENGINES_BARE >> w->run->engine & 1u;
    void (*op)(struct worker *) = bare ? op_append : work->op;
    (void)pthread_setname_np(pthread_self(), "worker"); /* so that a profile of it can be told */
    if (bare)
        open_bare(w);
    else
        open_sql(w);
    if (work->in_transaction)
        db_exec(w->run, w->db, "BEGIN");
    uint64_t mask = work->sample_every - 1u;
    (void)pthread_barrier_wait(&w->crew->start);
    w->begin_ns = now_ns();
    for (uint64_t i = 0; !atomic_load_explicit(&w->crew->stop, memory_order_relaxed); i++) {
        if ((i & mask) != 0) {
            op(w);
            continue;
        }
        uint64_t begun = now_ns();
        op(w);
        hist_add(&w->latency, now_ns() - begun);
    }
    w->end_ns = now_ns();
    if (work->in_transaction)
        db_exec(w->run, w->db, "COMMIT");
    return NULL;
}

static void
verify_writes(struct worker *w)
{
    sqlite3_stmt *stmt = db_prepare(w->run, w->db, "SELECT value FROM kv WHERE key = ?1");
    uint64_t oldest = w->writes > LAST_WRITES ? w->writes - LAST_WRITES : 0;
    for (uint64_t n = w->writes; n > oldest; n--) {
        uint32_t row = w->last_rows[(n - 1) % LAST_WRITES];
        bool written_again = false;
        for (uint64_t later = n; later < w->writes; later++)
            written_again |= w->last_rows[later % LAST_WRITES] == row;
        if (written_again)
            continue;
        char value[VALUE_BYTES];
        row_key(w->key, row);
        row_value(value, w->key, (uint64_t)(w->index + 1) << 48 | n);
        (void)sqlite3_bind_text(stmt, 1, w->key, KEY_BYTES, SQLITE_STATIC);
        if (sqlite3_step(stmt) != SQLITE_ROW || sqlite3_column_bytes(stmt, 0) != VALUE_BYTES ||
            memcmp(sqlite3_column_blob(stmt, 0), value, VALUE_BYTES) != 0)
            run_fail(w->run, "the acknowledged write of key %.*s is lost", KEY_BYTES, w->key);
        (void)sqlite3_reset(stmt);
    }
    (void)sqlite3_finalize(stmt);
}

void
memory_now(struct run *r)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f)) {
        char *colon = strchr(line, ':');
        long kb = colon ? strtol(colon + 1, NULL, 10) : 0;
        if (strncmp(line, "VmHWM:", 6) == 0)
            r->result->peak_kb = kb;
        else if (strncmp(line, "RssAnon:", 8) == 0)
            r->result->anon_kb = kb;
        else if (strncmp(line, "RssFile:", 8) == 0)
            r->result->file_kb = kb;
        else if (strncmp(line, "RssShmem:", 9) == 0)
            r->result->shmem_kb = kb;
    }
    if (f)
        (void)fclose(f);
}

static void
finish(struct run *r, struct worker *workers)
{
    bool bare = ENGINES_BARE >> r->engine & 1u;
    for (int i = 0; i < r->work->threads && !bare; i++) {
        if (r->work->writes)
            verify_writes(&workers[i]);
        (void)sqlite3_finalize(workers[i].stmt);
    }
    if (!bare && r->work->writes)
        db_verify_totals(r, workers[0].db, r->config->rows);
    /* Closing would move the log into LMDB, and the next run needs it as it is. */
    for (int i = 0; i < r->work->threads && !bare && r->work->fixture != FIXTURE_LOGGED; i++)
        db_close(r, workers[i].db);
}

void
workers_measure(struct run *r)
{
    uint32_t count = (uint32_t)r->work->threads;
    struct worker *workers = calloc(count, sizeof(*workers));
    struct crew crew;
    atomic_init(&crew.stop, false);
    if (!workers || pthread_barrier_init(&crew.start, NULL, count + 1) != 0)
        run_fail(r, "out of memory");
    for (uint32_t i = 0; i < count; i++) {
        workers[i].run = r;
        workers[i].crew = &crew;
        workers[i].index = i;
        workers[i].random = 0x9e3779b97f4a7c15u * (i + 1 + 1000u * (uint32_t)(r->round + 1));
        if (pthread_create(&workers[i].thread, NULL, work_loop, &workers[i]) != 0)
            run_fail(r, "cannot start thread %" PRIu32, i);
    }
    (void)pthread_barrier_wait(&crew.start);
    r->result->cpu_seconds = -cpu_now();
    (void)usleep((useconds_t)(r->config->seconds * 1e6));
    atomic_store(&crew.stop, true);
    for (uint32_t i = 0; i < count; i++) {
        /* Each by its own end: a writer that SQLite starves may end seconds after the others. */
        (void)pthread_join(workers[i].thread, NULL);
        double seconds = (double)(workers[i].end_ns - workers[i].begin_ns) / 1e9;
        r->result->value += (double)workers[i].done / seconds;
        r->result->count += workers[i].done;
        r->result->seconds = seconds > r->result->seconds ? seconds : r->result->seconds;
        hist_merge(&r->result->latency, &workers[i].latency);
    }
    r->result->cpu_seconds += cpu_now();
    memory_now(r);
    finish(r, workers);
    (void)pthread_barrier_destroy(&crew.start);
    free(workers);
}
