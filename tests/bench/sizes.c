/*
 * sizes.c - values of 10 bytes to 1 MiB.
 *
 * Such a value is filling with a stamp of 8 bytes at its beginning and at each block of 4096 bytes:
 * the row, the worker and its count of writes, all 0 but the row as loaded. A read checks every
 * stamp, and so comes to every page of the value.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

#define BLOCK_BYTES 4096
#define BATCH_BYTES ((uint32_t)4 << 20) /* in one transaction, when loading */

static uint64_t
stamp_of(uint32_t row, uint32_t writer, uint64_t write)
{
    return (uint64_t)row << 32 | (uint64_t)writer << 24 | (write & 0xffffff);
}

static void
stamp(char *value, uint32_t bytes, uint64_t stamp)
{
    for (uint32_t at = 0; at + sizeof(stamp) <= bytes; at += BLOCK_BYTES)
        memcpy(value + at, &stamp, sizeof(stamp));
}

/* The stamp of a value of the row. */
static uint64_t
check(struct run *r, const void *value, size_t bytes, uint32_t row)
{
    uint64_t first = 0;
    if (bytes != r->value_bytes)
        run_fail(r, "a value of row %" PRIu32 " has %zu bytes", row, bytes);
    memcpy(&first, value, sizeof(first));
    for (size_t at = 0; at + sizeof(first) <= bytes; at += BLOCK_BYTES) {
        uint64_t here = 0;
        memcpy(&here, (const char *)value + at, sizeof(here));
        if (here != first || here >> 32 != row)
            run_fail(r, "a wrong value of row %" PRIu32 " at byte %zu", row, at);
    }
    return first;
}

static char *
new_value(struct run *r)
{
    char *value = kv_new(r, r->value_bytes);
    memset(value, '.', r->value_bytes);
    return value;
}

void
sized_open(struct worker *w)
{
    w->sized = new_value(w->run);
}

void
sized_close(struct worker *w)
{
    free(w->sized);
    w->sized = NULL;
}

/* Bind it, and step until the store is not busy. */
static void
upsert_sql(struct worker *w, sqlite3_stmt *stmt)
{
    int rc = SQLITE_BUSY;
    (void)sqlite3_bind_blob(stmt, sqlite3_bind_parameter_index(stmt, ":value"), w->sized,
                            (int)w->run->value_bytes, SQLITE_STATIC);
    while (rc == SQLITE_BUSY) {
        rc = sqlite3_step(stmt) & 0xff;
        (void)sqlite3_reset(stmt);
        w->retries += rc == SQLITE_BUSY;
    }
    if (rc != SQLITE_DONE)
        run_fail(w->run, "%s: %s", sqlite3_sql(stmt), sqlite3_errmsg(w->db));
}

static void
put(struct run *r, void *session, const char *key, const char *value)
{
    r->library->put(session, (struct kv_row){ key, value, KEY_BYTES, r->value_bytes });
}

void
op_sized_upsert(struct worker *w)
{
    struct run *r = w->run;
    worker_next_write(w);
    uint32_t row = w->last_rows[(w->writes - 1) % LAST_WRITES];
    stamp(w->sized, r->value_bytes, stamp_of(row, w->index + 1, w->writes));
    if (w->session) {
        r->library->begin(w->session, KV_WRITE);
        put(r, w->session, w->key, w->sized);
        if (!r->library->commit(w->session))
            run_fail(r, "a transaction of writes was refused");
    } else {
        upsert_sql(w, w->stmt);
    }
    w->done++;
}

/* The stamp of the row of w->key. */
static uint64_t
read_row(struct worker *w, sqlite3_stmt *stmt, uint32_t row)
{
    struct kv_row found;
    if (w->session) {
        if (!w->run->library->get(w->session, w->key, KEY_BYTES, &found))
            run_fail(w->run, "row %" PRIu32 " is missing", row);
        return check(w->run, found.value, found.value_bytes, row);
    }
    if (sqlite3_step(stmt) != SQLITE_ROW)
        run_fail(w->run, "row %" PRIu32 " is missing: %s", row, sqlite3_errmsg(w->db));
    const void *value = sqlite3_column_blob(stmt, 0);
    uint64_t result = check(w->run, value, (size_t)sqlite3_column_bytes(stmt, 0), row);
    (void)sqlite3_reset(stmt);
    return result;
}

void
op_sized_read(struct worker *w)
{
    uint32_t row = worker_random(w, w->run->rows);
    row_key(w->key, row);
    (void)read_row(w, w->stmt, row);
    w->done++;
}

bool
sized_holds(struct worker *w, uint32_t row, uint64_t write)
{
    sqlite3_stmt *stmt = NULL;
    if (!w->session) {
        stmt = db_prepare(w->run, w->db, "SELECT value FROM kv WHERE key = ?1");
        (void)sqlite3_bind_text(stmt, 1, w->key, KEY_BYTES, SQLITE_STATIC);
    }
    uint64_t found = read_row(w, stmt, row);
    (void)sqlite3_finalize(stmt);
    return found == stamp_of(row, w->index + 1, write);
}

static void
make_kv(struct run *r, char *value)
{
    const struct kv_library *kv = r->library;
    char key[KEY_BYTES];
    uint32_t batch = BATCH_BYTES / r->value_bytes;
    kv_open(r);
    void *session = kv->attach(r, r->kv);
    for (uint32_t row = 0; row < r->rows; row++) {
        row_key(key, row);
        stamp(value, r->value_bytes, stamp_of(row, 0, 0));
        if (row % batch == 0)
            kv->begin(session, KV_WRITE);
        put(r, session, key, value);
        if (((row + 1) % batch == 0 || row + 1 == r->rows) && !kv->commit(session))
            run_fail(r, "a transaction of writes was refused");
    }
    kv->checkpoint(r, r->kv);
    kv_verify_totals(r, session, r->rows);
    kv->detach(session);
    kv_close(r);
}

static void
make_sql(struct run *r, char *value)
{
    char key[KEY_BYTES];
    uint32_t batch = BATCH_BYTES / r->value_bytes;
    sqlite3 *db = db_open(r, "");
    sqlite3_stmt *stmt = db_prepare(r, db, "INSERT INTO kv VALUES(?1, ?2)");
    (void)sqlite3_bind_text(stmt, 1, key, KEY_BYTES, SQLITE_STATIC);
    (void)sqlite3_bind_blob(stmt, 2, value, (int)r->value_bytes, SQLITE_STATIC);
    for (uint32_t row = 0; row < r->rows; row++) {
        if (row % batch == 0)
            db_exec(r, db, "BEGIN IMMEDIATE");
        row_key(key, row);
        stamp(value, r->value_bytes, stamp_of(row, 0, 0));
        if (sqlite3_step(stmt) != SQLITE_DONE)
            run_fail(r, "INSERT of row %" PRIu32 ": %s", row, sqlite3_errmsg(db));
        (void)sqlite3_reset(stmt);
        if ((row + 1) % batch == 0 || row + 1 == r->rows)
            db_exec(r, db, "COMMIT");
    }
    (void)sqlite3_finalize(stmt);
    db_checkpoint(r, db);
    db_verify_totals(r, db, r->rows);
    db_close(r, db);
}

void
sized_make(struct run *r)
{
    char *value = new_value(r);
    if (r->library)
        make_kv(r, value);
    else
        make_sql(r, value);
    free(value);
}
