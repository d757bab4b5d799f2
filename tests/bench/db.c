/*
 * db.c - the engines behind the same SQL, and the rows.
 *
 * Row i has the key "user" and i in 12 digits, and a value of 100 bytes that begins with its key
 * and a stamp: 0 as loaded, else the writer, the run and the writer's count. So a value read
 * anywhere says whether it belongs to its key, and a last write can be known again. A counter may
 * follow, in decimal digits.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kv.h"

#define STAMP_DIGITS  16
#define COUNTER_AT    (KEY_BYTES + STAMP_DIGITS)
#define COUNTER_BYTES 16
#define BUSY_WAIT_MS  600000 /* 50 writers on one SQLite lock: nobody may give up */

const char db_no_checkpoint[] = ", checkpoint_interval=86400, checkpoint_bytes=1099511627776"
                                ", overlay_limit=1099511627776";

bool
db_is_native(const struct run *r)
{
    return r->engine == ENGINE_SQLITE || r->engine == ENGINE_IMMEDIATE;
}

static void
load_extension(struct run *r, sqlite3 *db, const char *file)
{
    char *message = NULL;
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
    if (sqlite3_load_extension(db, file, NULL, &message) != SQLITE_OK)
        run_fail(r, "cannot load %s: %s", file, message ? message : "");
}

/* The peer's own SQL, with the run's directory for {dir} and its durability for {sync}. */
static void
open_peer(struct run *r, sqlite3 *db)
{
    static const char dir[] = "{dir}";
    static const char sync[] = "{sync}";
    sqlite3_str *sql = sqlite3_str_new(db);
    load_extension(r, db, r->config->peer_extension);
    for (const char *at = r->config->peer_sql; *at;) {
        if (strncmp(at, dir, strlen(dir)) == 0) {
            sqlite3_str_appendall(sql, r->store);
            at += strlen(dir);
        } else if (strncmp(at, sync, strlen(sync)) == 0) {
            sqlite3_str_appendall(sql, r->work->sync);
            at += strlen(sync);
        } else {
            sqlite3_str_appendchar(sql, 1, *at++);
        }
    }
    char *text = sqlite3_str_finish(sql);
    if (!text)
        run_fail(r, "out of memory");
    db_exec(r, db, text);
    sqlite3_free(text);
}

static void
open_kv(struct run *r, sqlite3 *db, const char *options)
{
    if (db_is_native(r)) {
        db_exec(r, db, "CREATE TABLE IF NOT EXISTS kv(key PRIMARY KEY, value) WITHOUT ROWID");
        return;
    }
    if (r->engine == ENGINE_EMPTY) {
        db_exec(r, db, "CREATE VIRTUAL TABLE temp.kv USING empty");
        return;
    }
    /* Serializable is the default, and is not named so that older versions can be measured too. */
    const char *isolation = r->engine == ENGINE_SNAPSHOT ? ", isolation=snapshot" : "";
    char *sql = sqlite3_mprintf("CREATE VIRTUAL TABLE temp.kv USING txkv(%Q, sync=%s%s%s%s)",
                                r->store, r->work->sync, isolation, options, r->config->args);
    db_exec(r, db, sql);
    sqlite3_free(sql);
}

static void
open_native(struct run *r, sqlite3 *db)
{
    db_exec(r, db, "PRAGMA journal_mode=WAL");
    db_exec(r, db,
            strcmp(r->work->sync, "full") == 0 ? "PRAGMA synchronous=FULL"
                                               : "PRAGMA synchronous=NORMAL");
}

sqlite3 *
db_open(struct run *r, const char *options)
{
    char path[PATH_BYTES + 16];
    (void)snprintf(path, sizeof(path), "%s/kv.db", r->store);
    bool native = db_is_native(r);
    bool own_directory = native || r->engine == ENGINE_PEER;
    sqlite3 *db = NULL;
    if (own_directory && mkdir(r->store, 0700) != 0 && access(r->store, W_OK) != 0)
        run_fail(r, "cannot create %s", r->store);
    if (sqlite3_open(native ? path : ":memory:", &db) != SQLITE_OK)
        run_fail(r, "cannot open %s: %s", path, sqlite3_errmsg(db));
    (void)sqlite3_busy_timeout(db, BUSY_WAIT_MS);
    if (native)
        open_native(r, db);
    else if (r->engine == ENGINE_PEER)
        open_peer(r, db);
    else if (r->engine == ENGINE_EMPTY)
        (void)empty_register(db);
    else
        load_extension(r, db, r->config->extension);
    if (!r->work->columns && r->fixture != FIXTURE_COLUMNS && r->engine != ENGINE_PEER)
        open_kv(r, db, options);
    return db;
}

void
db_close(struct run *r, sqlite3 *db)
{
    if (sqlite3_close(db) != SQLITE_OK)
        run_fail(r, "cannot close: %s", sqlite3_errmsg(db));
}

void
db_exec(struct run *r, sqlite3 *db, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        run_fail(r, "%s: %s", sql, message ? message : "");
}

sqlite3_stmt *
db_prepare(struct run *r, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK)
        run_fail(r, "%s: %s", sql, sqlite3_errmsg(db));
    return stmt;
}

int64_t
db_integer(struct run *r, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = db_prepare(r, db, sql);
    if (sqlite3_step(stmt) != SQLITE_ROW)
        run_fail(r, "%s: %s", sql, sqlite3_errmsg(db));
    int64_t value = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return value;
}

/* A native transaction that begins by reading cannot write any more once another has written. One
 * that takes the write lock first waits for it, and never has to run again. */
const char *
db_begin(const struct run *r)
{
    return db_is_native(r) ? "BEGIN IMMEDIATE" : "BEGIN";
}

int64_t
db_counters(struct run *r, sqlite3 *db)
{
    char sql[100];
    (void)snprintf(sql, sizeof(sql), "SELECT sum(CAST(substr(value, %d, %d) AS INTEGER)) FROM kv",
                   COUNTER_AT + 1, COUNTER_BYTES);
    return db_integer(r, db, sql);
}

void
db_checkpoint(struct run *r, sqlite3 *db)
{
    if (r->engine != ENGINE_PEER)
        db_exec(r, db,
                db_is_native(r) ? "PRAGMA wal_checkpoint(TRUNCATE)" : "SELECT txkv_checkpoint()");
}

void
row_key(char key[KEY_BYTES], uint32_t row)
{
    static const char prefix[4] = { 'u', 's', 'e', 'r' };
    memset(key, '0', KEY_BYTES);
    memcpy(key, prefix, sizeof(prefix));
    for (size_t i = KEY_BYTES; row > 0; row /= 10)
        key[--i] = (char)('0' + row % 10);
}

void
row_value(char value[VALUE_BYTES], const char key[KEY_BYTES], uint64_t stamp)
{
    static const char digits[] = "0123456789abcdef";
    memset(value, '.', VALUE_BYTES);
    memcpy(value, key, KEY_BYTES);
    for (size_t i = 0; i < STAMP_DIGITS; i++)
        value[KEY_BYTES + i] = digits[(stamp >> (60 - 4 * i)) & 15];
}

uint64_t
row_stamp(const char value[VALUE_BYTES])
{
    uint64_t stamp = 0;
    for (size_t i = 0; i < STAMP_DIGITS; i++) {
        char c = value[KEY_BYTES + i];
        stamp = stamp << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return stamp;
}

void
row_count_up(char value[VALUE_BYTES])
{
    char *counter = value + COUNTER_AT;
    if (counter[0] == '.')
        memset(counter, '0', COUNTER_BYTES);
    size_t i = COUNTER_BYTES - 1;
    for (; i > 0 && counter[i] == '9'; i--)
        counter[i] = '0';
    counter[i]++;
}

int64_t
row_counter(const char value[VALUE_BYTES])
{
    int64_t counter = 0;
    for (size_t i = COUNTER_AT; i < COUNTER_AT + COUNTER_BYTES && value[i] != '.'; i++)
        counter = counter * 10 + (value[i] - '0');
    return counter;
}

uint32_t
row_shuffled(uint32_t i, uint32_t rows)
{
    /* A bijection of the next power of two, walked until it falls inside: no table, so that the
     * memory measured is the engine's. */
    unsigned bits = 32u - (unsigned)__builtin_clz(rows | 1u);
    uint32_t mask = (uint32_t)(((uint64_t)1 << bits) - 1);
    do {
        i = (i * 0x9e3779b1u + 0x7f4a7c15u) & mask;
        i ^= i >> (bits / 2);
        i = (i * 0x85ebca6bu) & mask;
        i ^= i >> (bits / 2 + 1);
        i = (i * 0xc2b2ae35u) & mask;
    } while (i >= rows);
    return i;
}

void
db_load(struct run *r, sqlite3 *db, uint32_t rows, uint32_t per_transaction)
{
    char key[KEY_BYTES];
    char value[VALUE_BYTES];
    sqlite3_stmt *stmt = db_prepare(r, db, "INSERT INTO kv VALUES(?1, ?2)");
    (void)sqlite3_bind_text(stmt, 1, key, KEY_BYTES, SQLITE_STATIC);
    (void)sqlite3_bind_text(stmt, 2, value, VALUE_BYTES, SQLITE_STATIC);
    for (uint32_t i = 0; i < rows; i++) {
        if (i % per_transaction == 0)
            db_exec(r, db, "BEGIN IMMEDIATE");
        row_key(key, r->work->random_keys ? row_shuffled(i, rows) : i);
        row_value(value, key, 0);
        if (sqlite3_step(stmt) != SQLITE_DONE)
            run_fail(r, "INSERT of row %" PRIu32 ": %s", i, sqlite3_errmsg(db));
        (void)sqlite3_reset(stmt);
        if ((i + 1) % per_transaction == 0 || i + 1 == rows)
            db_exec(r, db, "COMMIT");
    }
    (void)sqlite3_finalize(stmt);
}

void
db_verify_totals(struct run *r, sqlite3 *db, uint32_t rows)
{
    sqlite3_stmt *stmt =
        db_prepare(r, db, "SELECT count(*), sum(length(value)), min(key), max(key) FROM kv");
    if (sqlite3_step(stmt) != SQLITE_ROW)
        run_fail(r, "totals: %s", sqlite3_errmsg(db));
    char first[KEY_BYTES];
    char last[KEY_BYTES];
    row_key(first, 0);
    row_key(last, rows - 1);
    const unsigned char *lo = sqlite3_column_text(stmt, 2);
    const unsigned char *hi = sqlite3_column_text(stmt, 3);
    if (sqlite3_column_int64(stmt, 0) != rows ||
        sqlite3_column_int64(stmt, 1) != (int64_t)rows * r->value_bytes || !lo || !hi ||
        memcmp(lo, first, KEY_BYTES) != 0 || memcmp(hi, last, KEY_BYTES) != 0)
        run_fail(r, "wrong totals: %lld rows, %lld bytes of values, keys %s to %s",
                 (long long)sqlite3_column_int64(stmt, 0), (long long)sqlite3_column_int64(stmt, 1),
                 lo ? (const char *)lo : "NULL", hi ? (const char *)hi : "NULL");
    (void)sqlite3_finalize(stmt);
}

void
db_verify_spots(struct run *r, sqlite3 *db, uint32_t rows)
{
    char key[KEY_BYTES];
    char value[VALUE_BYTES];
    sqlite3_stmt *stmt = db_prepare(r, db, "SELECT value FROM kv WHERE key = ?1");
    (void)sqlite3_bind_text(stmt, 1, key, KEY_BYTES, SQLITE_STATIC);
    for (uint32_t i = 0; i < 1000; i++) {
        row_key(key, row_shuffled(i % rows, rows));
        row_value(value, key, 0);
        if (sqlite3_step(stmt) != SQLITE_ROW || sqlite3_column_bytes(stmt, 0) != VALUE_BYTES ||
            memcmp(sqlite3_column_blob(stmt, 0), value, VALUE_BYTES) != 0)
            run_fail(r, "the row of key %.*s is not what was written", KEY_BYTES, key);
        (void)sqlite3_reset(stmt);
    }
    (void)sqlite3_finalize(stmt);
}

void
fixture_make(struct run *r)
{
    if (r->value_bytes != VALUE_BYTES) {
        sized_make(r);
        return;
    }
    if (r->library) {
        kv_fixture_make(r);
        return;
    }
    bool stays_in_log = r->fixture == FIXTURE_LOGGED || r->fixture == FIXTURE_KILLED;
    bool killed = r->fixture == FIXTURE_KILLED;
    uint32_t rows = r->rows;
    sqlite3 *db = db_open(r, stays_in_log ? db_no_checkpoint : "");
    if (r->engine == ENGINE_TXKV || r->engine == ENGINE_SNAPSHOT) {
        sqlite3_stmt *stmt = db_prepare(r, db, "SELECT txkv_version()");
        if (sqlite3_step(stmt) == SQLITE_ROW)
            (void)snprintf(r->result->txkv_version, sizeof(r->result->txkv_version), "%s",
                           (const char *)sqlite3_column_text(stmt, 0));
        (void)sqlite3_finalize(stmt);
    } else if (stays_in_log && db_is_native(r)) {
        db_exec(r, db, "PRAGMA wal_autocheckpoint=0");
    }
    if (r->fixture == FIXTURE_COLUMNS) {
        columns_make(r, db);
        return;
    }
    db_load(r, db, rows, killed ? 100 : 10000);
    r->result->ok = true;
    if (stays_in_log)
        (void)raise(SIGKILL);
    db_checkpoint(r, db);
    db_verify_totals(r, db, rows);
    db_close(r, db);
}
