/*
 * ops.c - the single steps of the timed loops.
 *
 * A step checks what it reads, and ends the run when that is wrong. Rows that are replaced as a
 * whole belong to one worker, who knows what its last writes must have left; a counter in a row
 * may be raised by all, and what is checked is the sum.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kv.h"

#define BUSY_WAIT_MS 10

uint32_t
worker_random(struct worker *w, uint32_t limit)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(((w->random >> 32) * limit) >> 32);
}

static uint64_t
stamp_of(const struct worker *w, uint64_t write)
{
    return (uint64_t)(w->index + 1) << 48 | (uint64_t)w->run->serial << 32 | (uint32_t)write;
}

void
worker_note_write(struct worker *w, uint32_t row)
{
    w->last_rows[w->writes % LAST_WRITES] = row;
    w->writes++;
    row_key(w->key, row);
    row_value(w->value, w->key, stamp_of(w, w->writes));
}

void
worker_next_write(struct worker *w)
{
    worker_note_write(w, worker_random(w, w->run->rows / w->peers) * w->peers + w->place);
}

/* Run a statement that gives no rows. */
static void
step_done(struct worker *w, sqlite3_stmt *stmt)
{
    if (sqlite3_step(stmt) != SQLITE_DONE)
        run_fail(w->run, "%s: %s", sqlite3_sql(stmt), sqlite3_errmsg(w->db));
    (void)sqlite3_reset(stmt);
}

/* Whether a step failed because others came first: the transaction can be run again. */
static bool
is_busy(int rc)
{
    return (rc & 0xff) == SQLITE_BUSY;
}

/* False: another transaction came first, and this one was rolled back. A transaction that a busy
 * store leaves open is committed by asking again. */
static bool
commit(struct worker *w)
{
    for (;;) {
        int rc = sqlite3_step(w->commit);
        (void)sqlite3_reset(w->commit);
        if (rc == SQLITE_DONE)
            return true;
        if (!is_busy(rc))
            run_fail(w->run, "COMMIT: %s", sqlite3_errmsg(w->db));
        w->retries++;
        if (sqlite3_get_autocommit(w->db))
            return false;
        (void)sqlite3_sleep(BUSY_WAIT_MS);
    }
}

void
op_upsert(struct worker *w)
{
    worker_next_write(w);
    step_done(w, w->stmt);
    w->done++;
}

void
op_upsert_txn(struct worker *w)
{
    step_done(w, w->begin);
    for (int i = 0; i < TXN_UPSERTS; i++) {
        worker_next_write(w);
        step_done(w, w->stmt);
    }
    /* It has read nothing, and so nobody can have come first. */
    if (!commit(w))
        run_fail(w->run, "a transaction of upserts was refused: %s", sqlite3_errmsg(w->db));
    w->done += TXN_UPSERTS;
}

void
worker_check_value(struct worker *w, const void *key, const void *value, size_t value_bytes)
{
    if (!value || value_bytes != VALUE_BYTES || memcmp(value, key, KEY_BYTES) != 0)
        run_fail(w->run, "a wrong value under key %.*s", KEY_BYTES, (const char *)key);
}

/* The statement stands on a row of that key. */
static const void *
check_value(struct worker *w, const void *key, int column)
{
    const void *value = sqlite3_column_text(w->stmt, column);
    worker_check_value(w, key, value, (size_t)sqlite3_column_bytes(w->stmt, column));
    return value;
}

void
worker_read(struct worker *w)
{
    if (w->session) {
        kv_read(w);
        return;
    }
    if (sqlite3_step(w->stmt) != SQLITE_ROW)
        run_fail(w->run, "key %.*s is missing: %s", KEY_BYTES, w->key, sqlite3_errmsg(w->db));
    (void)check_value(w, w->key, 0);
    (void)sqlite3_reset(w->stmt);
}

void
op_point(struct worker *w)
{
    row_key(w->key, worker_random(w, w->run->rows));
    worker_read(w);
    w->done++;
}

/* Keys between those that are there: no row's key ends in x. */
void
op_point_miss(struct worker *w)
{
    row_key(w->key, worker_random(w, w->run->rows));
    w->key[KEY_BYTES - 1] = 'x';
    bool found;
    if (w->session) {
        found = kv_is_there(w);
    } else {
        int rc = sqlite3_step(w->stmt);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            run_fail(w->run, "%s: %s", sqlite3_sql(w->stmt), sqlite3_errmsg(w->db));
        found = rc == SQLITE_ROW;
        (void)sqlite3_reset(w->stmt);
    }
    if (found)
        run_fail(w->run, "there is a row of key %.*s", KEY_BYTES, w->key);
    w->done++;
}

/* A step of the second statement, which changes the row of w->key. False: others came first. */
static bool
update_row(struct worker *w)
{
    int rc = sqlite3_step(w->second);
    (void)sqlite3_reset(w->second);
    if (rc == SQLITE_DONE && sqlite3_changes(w->db) != 1)
        run_fail(w->run, "the UPDATE of key %.*s found no row", KEY_BYTES, w->key);
    if (rc != SQLITE_DONE && !is_busy(rc))
        run_fail(w->run, "%s: %s", sqlite3_sql(w->second), sqlite3_errmsg(w->db));
    return rc == SQLITE_DONE;
}

void
worker_update(struct worker *w)
{
    if (w->session) {
        kv_put(w);
        return;
    }
    while (!update_row(w))
        w->retries++;
}

/* Reads and updates, half of each, of random keys. */
void
op_mix(struct worker *w)
{
    if (worker_random(w, 2) == 0) {
        op_point(w);
        return;
    }
    worker_next_write(w);
    worker_update(w);
    w->done++;
}

/* True when the transaction that raises the counter of row w->key has committed. */
static bool
try_increment(struct worker *w)
{
    step_done(w, w->begin);
    int rc = sqlite3_step(w->stmt);
    if (rc == SQLITE_ROW) {
        memcpy(w->value, check_value(w, w->key, 0), VALUE_BYTES);
        row_count_up(w->value);
    } else if (!is_busy(rc)) {
        run_fail(w->run, "key %.*s is missing: %s", KEY_BYTES, w->key, sqlite3_errmsg(w->db));
    }
    (void)sqlite3_reset(w->stmt);
    if (rc == SQLITE_ROW && update_row(w))
        return commit(w);
    w->retries++;
    if (!sqlite3_get_autocommit(w->db))
        db_exec(w->run, w->db, "ROLLBACK");
    return false;
}

void
worker_increment(struct worker *w)
{
    if (w->session) {
        kv_increment(w);
    } else {
        while (!try_increment(w))
            continue;
    }
    w->increments++;
}

void
op_increment(struct worker *w)
{
    row_key(w->key, worker_random(w, w->run->rows));
    worker_increment(w);
    w->done++;
}

void
op_range(struct worker *w)
{
    uint32_t first = worker_random(w, w->run->rows - RANGE_ROWS);
    row_key(w->key, first);
    row_key(w->key_end, first + RANGE_ROWS);
    uint32_t rows = 0;
    int rc = sqlite3_step(w->stmt);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(w->stmt)) {
        const void *key = sqlite3_column_text(w->stmt, 0);
        if (!key || sqlite3_column_bytes(w->stmt, 0) != KEY_BYTES)
            run_fail(w->run, "a wrong key in the range from %.*s", KEY_BYTES, w->key);
        (void)check_value(w, key, 1);
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
    uint32_t rows = w->run->rows;
    if (sqlite3_step(w->stmt) != SQLITE_ROW || sqlite3_column_int64(w->stmt, 0) != rows ||
        sqlite3_column_int64(w->stmt, 1) != (int64_t)rows * VALUE_BYTES)
        run_fail(w->run, "a scan gave wrong totals: %s", sqlite3_errmsg(w->db));
    (void)sqlite3_reset(w->stmt);
    w->done += rows;
}

void
op_append(struct worker *w)
{
    off_t at = (off_t)(w->done * RECORD_BYTES);
    if (pwrite(w->fd, w->record, RECORD_BYTES, at) != RECORD_BYTES || fdatasync(w->fd) != 0)
        run_fail(w->run, "append failed");
    w->done++;
}

void
op_alone(struct worker *w)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    (void)pthread_mutex_lock(&mutex);
    w->inner(w);
    (void)pthread_mutex_unlock(&mutex);
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

/* The parameters stand for the worker's buffers from now on. */
static sqlite3_stmt *
prepare_bound(struct worker *w, const char *sql)
{
    sqlite3_stmt *stmt = db_prepare(w->run, w->db, sql);
    int key = sqlite3_bind_parameter_index(stmt, ":key");
    int end = sqlite3_bind_parameter_index(stmt, ":end");
    int value = sqlite3_bind_parameter_index(stmt, ":value");
    if (key > 0)
        (void)sqlite3_bind_text(stmt, key, w->key, KEY_BYTES, SQLITE_STATIC);
    if (end > 0)
        (void)sqlite3_bind_text(stmt, end, w->key_end, KEY_BYTES, SQLITE_STATIC);
    if (value > 0)
        (void)sqlite3_bind_text(stmt, value, w->value, VALUE_BYTES, SQLITE_STATIC);
    return stmt;
}

void
op_open(struct worker *w)
{
    const struct work *work = w->run->work;
    if (w->run->value_bytes != VALUE_BYTES)
        sized_open(w);
    if (ENGINES_BARE >> w->run->engine & 1u) {
        open_bare(w);
        return;
    }
    if (w->run->library) {
        kv_attach(w);
        return;
    }
    w->db = db_open(w->run, w->run->fixture == FIXTURE_LOGGED ? db_no_checkpoint : "");
    if (work->fixture == FIXTURE_COLUMNS)
        columns_open(w->run, w->db);
    w->stmt = prepare_bound(w, w->beside ? work->beside.sql : work->sql);
    if (work->second_sql)
        w->second = prepare_bound(w, work->second_sql);
    w->begin = prepare_bound(w, db_begin(w->run));
    w->commit = prepare_bound(w, "COMMIT");
}

/* How many commits went together, since this process opened the store. */
static void
note_groups(struct worker *w)
{
    sqlite3_stmt *stmt =
        db_prepare(w->run, w->db, "SELECT value FROM txkv_stats WHERE name = 'group_size_mean'");
    if (sqlite3_step(stmt) == SQLITE_ROW)
        w->run->result->group_size = sqlite3_column_double(stmt, 0);
    (void)sqlite3_finalize(stmt);
}

void
op_close(struct worker *w)
{
    if (w->run->value_bytes != VALUE_BYTES)
        sized_close(w);
    if (w->run->library) {
        kv_detach(w);
        return;
    }
    if (w->index == 0 && w->run->engine == ENGINE_TXKV && w->run->work->writes)
        note_groups(w);
    (void)sqlite3_finalize(w->stmt);
    (void)sqlite3_finalize(w->second);
    (void)sqlite3_finalize(w->begin);
    (void)sqlite3_finalize(w->commit);
}

/* The value of w->key; false: it has none of the right length. */
static bool
fetch(struct worker *w, sqlite3_stmt *stmt, char value[VALUE_BYTES])
{
    if (w->session)
        return kv_fetch(w->run, w->session, w->key, value);
    bool found = sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == VALUE_BYTES;
    if (found)
        memcpy(value, sqlite3_column_blob(stmt, 0), VALUE_BYTES);
    (void)sqlite3_reset(stmt);
    return found;
}

/* Whether the value may stand where this worker's write left another one: a write of another worker
 * of this run. */
static bool
is_of_another(const struct worker *w, const char value[VALUE_BYTES])
{
    uint64_t stamp = row_stamp(value);
    return w->run->work->shared && (stamp >> 48) != w->index + 1 && (stamp >> 48) != 0 &&
           (uint16_t)(stamp >> 32) == w->run->serial;
}

/* Whether the worker's write of that number, of the row of w->key, is still there. */
static bool
is_there(struct worker *w, sqlite3_stmt *stmt, uint32_t row, uint64_t write)
{
    char value[VALUE_BYTES];
    char found[VALUE_BYTES];
    if (w->run->value_bytes != VALUE_BYTES)
        return sized_holds(w, row, write);
    row_value(value, w->key, stamp_of(w, write));
    return fetch(w, stmt, found) &&
           (memcmp(value, found, VALUE_BYTES) == 0 || is_of_another(w, found));
}

void
op_verify_writes(struct worker *w)
{
    sqlite3_stmt *stmt =
        w->session ? NULL : prepare_bound(w, "SELECT value FROM kv WHERE key = :key");
    uint64_t oldest = w->writes > LAST_WRITES ? w->writes - LAST_WRITES : 0;
    for (uint64_t n = w->writes; n > oldest; n--) {
        uint32_t row = w->last_rows[(n - 1) % LAST_WRITES];
        bool written_again = false;
        for (uint64_t later = n; later < w->writes; later++)
            written_again |= w->last_rows[later % LAST_WRITES] == row;
        if (written_again)
            continue;
        row_key(w->key, row);
        if (!is_there(w, stmt, row, n))
            run_fail(w->run, "the acknowledged write of key %.*s is lost", KEY_BYTES, w->key);
    }
    (void)sqlite3_finalize(stmt);
}
