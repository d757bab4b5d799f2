/*
 * teller.c - see teller.h.
 *
 * The C API's side writes rows as the extension does: a key is the tag of a blob and its bytes, a
 * value says that it has one column, that this is a blob of so many bytes, and has the bytes.
 */
#include "teller.h"

#include <string.h>

enum {
    SEGMENT_BYTES = 64 * 1024,
    KEY_TAG_BLOB = 0x30,
    ROW_OF_ONE_COLUMN = 1 << 2,
    TYPE_BLOB = 44, /* and twice the bytes */
    ROW_HEADER_BYTES = 4,
    OPEN_S_MAX = 30
};

static const char *const sync_names[] = { "off", "normal", "full" };
static char store_dir[TEST_PATH_BYTES];
static struct teller_limits limits_in_use;
static struct txkv *store; /* NULL: SQL */
static uint32_t table;

/* ---- outcomes ---- */

static enum teller_rc
again(struct teller *t, bool conflict)
{
    t->conflicts += conflict;
    t->busy += !conflict;
    if (t->db == NULL)
        txkv_rollback(t->session);
    else if (!sqlite3_get_autocommit(t->db))
        sql_run(t->db, "ROLLBACK");
    return TELLER_AGAIN;
}

static enum teller_rc
judge_c(struct teller *t, enum txkv_rc rc, const struct txkv_error *err, const char *what)
{
    if (rc == TXKV_CONFLICT || rc == TXKV_BUSY)
        return again(t, rc == TXKV_CONFLICT);
    if (rc != TXKV_NOTFOUND)
        test_ok(rc, err, what);
    return TELLER_OK;
}

/* Of a statement that is reset afterwards, if there is one. */
static enum teller_rc
judge_sql(struct teller *t, int rc, sqlite3_stmt *stmt, const char *what)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW && rc != SQLITE_BUSY &&
        rc != SQLITE_BUSY_SNAPSHOT)
        test_die("%s: error %d: %s", what, rc, sqlite3_errmsg(t->db));
    (void)sqlite3_reset(stmt);
    if (rc == SQLITE_BUSY || rc == SQLITE_BUSY_SNAPSHOT)
        return again(t, rc == SQLITE_BUSY_SNAPSHOT);
    return TELLER_OK;
}

/* ---- the process ---- */

/* Another process may have the store open with segments of another size, which then holds. */
static enum txkv_rc
try_open(uint32_t segment_bytes, struct txkv_error *err)
{
    const struct txkv_options options = { .segment_bytes = segment_bytes,
                                          .checkpoint_bytes = limits_in_use.checkpoint_bytes,
                                          .stall_timeout_ms = limits_in_use.stall_timeout_ms,
                                          .flush_interval_ms = 2 };
    const enum txkv_rc rc = txkv_open(store_dir, &options, &store, err);

    return rc == TXKV_MISUSE && segment_bytes != 0 ? try_open(0, err) : rc;
}

void
tellers_open(const char *dir, bool sql, const struct teller_limits *limits)
{
    const uint64_t until_us = test_now_us() + OPEN_S_MAX * 1000000ull;
    struct txkv_error err;
    enum txkv_rc rc;

    test_path(store_dir, dir, "store");
    limits_in_use = *limits;
    if (sql)
        return;
    do {
        rc = try_open(SEGMENT_BYTES, &err);
    } while ((rc == TXKV_BUSY || rc == TXKV_LOCKED) && test_now_us() < until_us);
    test_ok(rc, &err, "open");
    test_ok(txkv_table(store, "bank", NULL, false, &table, &err), &err, "table");
}

void
tellers_close(void)
{
    struct txkv_error err;

    if (store != NULL)
        test_ok(txkv_close(store, &err), &err, "close");
}

static int
create_table(struct teller *t)
{
    return sql_try(
        t->db,
        "CREATE VIRTUAL TABLE temp.bank USING txkv('%s', sync=%s, isolation=%s, "
        "checkpoint_bytes=%llu, stall_timeout_ms=%u, flush_interval_ms=2)",
        store_dir, sync_names[t->sync], t->isolation == TXKV_SNAPSHOT ? "snapshot" : "serializable",
        (unsigned long long)limits_in_use.checkpoint_bytes, limits_in_use.stall_timeout_ms);
}

void
teller_open(struct teller *t, enum txkv_sync sync, enum txkv_isolation isolation)
{
    const uint64_t until_us = test_now_us() + OPEN_S_MAX * 1000000ull;
    struct txkv_error err;
    int rc;

    *t = (struct teller){ .sync = sync, .isolation = isolation };
    if (store != NULL) {
        test_ok(txkv_session_open(store, &t->session, &err), &err, "session_open");
        txkv_set_isolation(t->session, isolation);
        return;
    }
    t->db = sql_open(1);
    do {
        rc = create_table(t);
    } while (rc == SQLITE_BUSY && test_now_us() < until_us);
    if (rc != SQLITE_OK)
        test_die("CREATE VIRTUAL TABLE: error %d: %s", rc, sqlite3_errmsg(t->db));
    t->get = sql_prepare(t->db, "SELECT value FROM bank WHERE key = ?");
    t->put = sql_prepare(t->db, "REPLACE INTO bank VALUES(?, ?)");
    t->scan[0] = sql_prepare(t->db, "SELECT key, value FROM bank ORDER BY key");
    t->scan[1] = sql_prepare(t->db, "SELECT key, value FROM bank ORDER BY key DESC");
}

void
teller_close(struct teller *t)
{
    txkv_session_close(t->session);
    if (t->db == NULL)
        return;
    (void)sqlite3_finalize(t->get);
    (void)sqlite3_finalize(t->put);
    (void)sqlite3_finalize(t->scan[0]);
    (void)sqlite3_finalize(t->scan[1]);
    if (sqlite3_close(t->db) != SQLITE_OK)
        test_die("sqlite3_close: %s", sqlite3_errmsg(t->db));
}

/* ---- rows ---- */

static void
encode_key(const uint8_t key[TELLER_KEY_BYTES], uint8_t out[TELLER_KEY_BYTES + 1])
{
    out[0] = KEY_TAG_BLOB;
    memcpy(out + 1, key, TELLER_KEY_BYTES);
}

/* Returns the header's length. */
static size_t
encode_header(size_t bytes, uint8_t out[ROW_HEADER_BYTES])
{
    size_t type = TYPE_BLOB + 2 * bytes;
    size_t at = 0;

    out[at++] = ROW_OF_ONE_COLUMN;
    for (; type >= 0x80; type >>= 7)
        out[at++] = (uint8_t)(type | 0x80);
    out[at++] = (uint8_t)type;
    return at;
}

/* The blob in a row as it stands in the store. */
static struct txkv_bytes
decode(struct txkv_bytes row)
{
    size_t type = 0;
    size_t at = 0;
    unsigned shift = 0;

    if (row.bytes < 2 || row.data[at++] != ROW_OF_ONE_COLUMN)
        test_die("a row of %zu bytes that nobody wrote", row.bytes);
    do {
        type |= (size_t)(row.data[at] & 0x7f) << shift;
        shift += 7;
    } while ((row.data[at++] & 0x80) != 0 && at < row.bytes && at < ROW_HEADER_BYTES);
    if (type < TYPE_BLOB || type % 2 != 0 || (type - TYPE_BLOB) / 2 != row.bytes - at)
        test_die("a row of %zu bytes says that it has type %zu", row.bytes, type);
    return bytes_of(row.data + at, row.bytes - at);
}

enum teller_rc
teller_begin(struct teller *t)
{
    struct txkv_error err;

    if (t->db != NULL)
        return judge_sql(t, sql_try(t->db, "BEGIN"), NULL, "BEGIN");
    return judge_c(t, txkv_begin(t->session, &err), &err, "begin");
}

static void
copy_value(struct txkv_bytes from, uint8_t *value, size_t *bytes)
{
    if (from.bytes > TELLER_VALUE_BYTES_MAX)
        test_die("a value of %zu bytes", from.bytes);
    memcpy(value, from.data, from.bytes);
    *bytes = from.bytes;
}

static enum teller_rc
get_sql(struct teller *t, const uint8_t *key, uint8_t *value, size_t *bytes)
{
    int rc;

    (void)sqlite3_bind_blob(t->get, 1, key, TELLER_KEY_BYTES, SQLITE_STATIC);
    rc = sqlite3_step(t->get);
    if (rc == SQLITE_ROW) {
        const void *blob = sqlite3_column_blob(t->get, 0);
        const int length = sqlite3_column_bytes(t->get, 0);

        copy_value(bytes_of(blob, (size_t)length), value, bytes);
    }
    return judge_sql(t, rc, t->get, "SELECT");
}

enum teller_rc
teller_get(struct teller *t, const uint8_t key[TELLER_KEY_BYTES],
           uint8_t value[TELLER_VALUE_BYTES_MAX], size_t *bytes)
{
    uint8_t k[TELLER_KEY_BYTES + 1];
    struct txkv_bytes row;
    struct txkv_error err;
    enum txkv_rc rc;

    *bytes = 0;
    if (t->db != NULL)
        return get_sql(t, key, value, bytes);
    encode_key(key, k);
    rc = txkv_get(t->session, table, bytes_of(k, sizeof k), &row, &err);
    if (rc == TXKV_OK)
        copy_value(decode(row), value, bytes);
    return judge_c(t, rc, &err, "get");
}

enum teller_rc
teller_put(struct teller *t, const uint8_t key[TELLER_KEY_BYTES], const uint8_t *value,
           size_t bytes)
{
    uint8_t k[TELLER_KEY_BYTES + 1];
    uint8_t header[ROW_HEADER_BYTES];
    size_t header_bytes;
    uint8_t *room = NULL;
    struct txkv_error err;
    enum txkv_rc rc;

    if (t->db != NULL) {
        (void)sqlite3_bind_blob(t->put, 1, key, TELLER_KEY_BYTES, SQLITE_STATIC);
        (void)sqlite3_bind_blob(t->put, 2, value, (int)bytes, SQLITE_STATIC);
        return judge_sql(t, sqlite3_step(t->put), t->put, "REPLACE");
    }
    encode_key(key, k);
    header_bytes = encode_header(bytes, header);
    rc = txkv_put_into(t->session, table, bytes_of(k, sizeof k), header_bytes + bytes, &room, &err);
    if (rc == TXKV_OK) {
        memcpy(room, header, header_bytes);
        memcpy(room + header_bytes, value, bytes);
    }
    return judge_c(t, rc, &err, "put");
}

static enum teller_rc
scan_sql(struct teller *t, bool descending, teller_row *row, void *arg)
{
    sqlite3_stmt *stmt = t->scan[descending];
    int rc;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const void *key = sqlite3_column_blob(stmt, 0);
        const void *value = sqlite3_column_blob(stmt, 1);

        if (sqlite3_column_bytes(stmt, 0) != TELLER_KEY_BYTES)
            test_die("a key of %d bytes", sqlite3_column_bytes(stmt, 0));
        row(arg, key, value, (size_t)sqlite3_column_bytes(stmt, 1));
    }
    return judge_sql(t, rc, stmt, "SELECT of all rows");
}

enum teller_rc
teller_scan(struct teller *t, bool descending, teller_row *row, void *arg)
{
    const struct txkv_range all = { .descending = descending };
    struct txkv_cursor *cursor;
    struct txkv_error err;
    enum txkv_rc rc;

    if (t->db != NULL)
        return scan_sql(t, descending, row, arg);
    test_ok(txkv_cursor_open(t->session, table, &cursor, &err), &err, "cursor_open");
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err)) {
        const struct txkv_bytes key = txkv_cursor_key(cursor);
        const struct txkv_bytes value = decode(txkv_cursor_value(cursor));

        if (key.bytes != TELLER_KEY_BYTES + 1)
            test_die("a key of %zu bytes", key.bytes);
        row(arg, key.data + 1, value.data, value.bytes);
    }
    txkv_cursor_close(cursor);
    return judge_c(t, rc, &err, "scan");
}

enum teller_rc
teller_commit(struct teller *t)
{
    struct txkv_error err;

    if (t->db != NULL)
        return judge_sql(t, sql_try(t->db, "COMMIT"), NULL, "COMMIT");
    return judge_c(t, txkv_commit(t->session, t->sync, &err), &err, "commit");
}

enum teller_rc
teller_checkpoint(struct teller *t)
{
    struct txkv_error err;

    if (t->db != NULL)
        return judge_sql(t, sql_try(t->db, "SELECT txkv_checkpoint('bank')"), NULL, "checkpoint");
    return judge_c(t, txkv_checkpoint(store, NULL, &err), &err, "checkpoint");
}

enum teller_rc
teller_backup(struct teller *t, const char *target)
{
    struct txkv_error err;

    if (t->db != NULL)
        return judge_sql(t, sql_try(t->db, "SELECT txkv_backup('bank', '%s')", target), NULL,
                         "backup");
    return judge_c(t, txkv_backup(store, target, NULL, &err), &err, "backup");
}

struct txkv *
tellers_store(void)
{
    return store;
}

void
teller_scan_copy(const char *dir, teller_row *row, void *arg)
{
    const struct txkv_options options = { .must_exist = true };
    const struct txkv_range all = { .descending = false };
    struct txkv_session *session;
    struct txkv_cursor *cursor;
    struct txkv *copy;
    struct txkv_error err;
    uint32_t number;
    enum txkv_rc rc;

    test_ok(txkv_open(dir, &options, &copy, &err), &err, "opening the copy");
    test_ok(txkv_table(copy, "bank", NULL, false, &number, &err), &err, "the copy's table");
    test_ok(txkv_session_open(copy, &session, &err), &err, "session_open");
    test_ok(txkv_cursor_open(session, number, &cursor, &err), &err, "cursor_open");
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err)) {
        const struct txkv_bytes value = decode(txkv_cursor_value(cursor));

        row(arg, txkv_cursor_key(cursor).data + 1, value.data, value.bytes);
    }
    if (rc != TXKV_NOTFOUND)
        test_ok(rc, &err, "reading the copy");
    txkv_cursor_close(cursor);
    txkv_session_close(session);
    test_ok(txkv_close(copy, &err), &err, "closing the copy");
}
