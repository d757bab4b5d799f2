/*
 * fuzz_rows.c - any bytes as keys and values of SQL tables and their indexes, as a damaged data.mdb
 * or another program can leave them: statements end, with rows or with an error, and `txkv_check`
 * tells that tables and indexes do not belong together.
 *
 * LMDB has no checksums, so what SQL reads may be anything. Here it is written through the C API
 * under the feet of the extension, which has the same store open in this process; after an input
 * all entries are as they were.
 *
 * Input: changes, each a byte for its kind: an entry with bytes of its own, or one of those that
 * are there with a byte or its length changed, with another one's value, or missing.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define SQLITE_CORE 1
#include "../../ext/init.h"
#include "files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum {
    ENTRIES_MAX = 64,
    TOUCHED_MAX = 24,
    ENTRY_BYTES = 128,
    TABLES_MAX = 8,
    CHECKPOINT_AFTER = 100
};

struct entry {
    uint32_t table;
    uint8_t key[ENTRY_BYTES], value[ENTRY_BYTES];
    size_t key_bytes, value_bytes;
};

static struct {
    sqlite3 *db;
    struct txkv *store;
    struct txkv_session *session;
    uint32_t tables[TABLES_MAX], table_count;
    struct entry entries[ENTRIES_MAX]; /* that SQL has made */
    uint32_t entry_count;
    struct entry touched[TOUCHED_MAX]; /* keys that an input has written or deleted */
    uint32_t touched_count;
    uint64_t runs;
} fuzz;

static const char setup[] =
    "CREATE VIRTUAL TABLE temp.kv USING txkv('%s/rows', sync=off);"
    "CREATE VIRTUAL TABLE temp.t USING txkv('%s/rows', id INTEGER PRIMARY KEY, name TEXT NOT NULL, "
    "age INT, r REAL, UNIQUE(name), INDEX(age));"
    "CREATE VIRTUAL TABLE temp.w USING txkv('%s/rows', a TEXT COLLATE NOCASE, b, c REAL, d BLOB, "
    "PRIMARY KEY(a, b), INDEX(c, d));"
    "INSERT INTO kv VALUES('user:1', 'one'), (7, 2.5), (x'00ff', NULL), (-1, 3), (1e300, x'');"
    "INSERT INTO t VALUES(1, 'ann', 30, 0.5), (2, 'bob', NULL, 2), (-3, 'cy', 30, NULL), "
    "(70000, 'd', 1, 1e300);"
    "INSERT INTO w VALUES('x', 1, 2.5, x''), ('Y', 2, NULL, 'text'), ('x', 'one', 2, x'0000'), "
    "('long a long a long a long', 1.0, -0.0, NULL)";

static const char *const statements[] = {
    "SELECT * FROM kv",
    "SELECT * FROM kv WHERE key >= 0 ORDER BY key DESC",
    "SELECT value FROM kv WHERE key IN (7, 'user:1', x'00ff')",
    "SELECT * FROM t",
    "SELECT rowid, name FROM t WHERE name > 'a' ORDER BY name DESC",
    "SELECT age, count(*) FROM t GROUP BY age",
    "SELECT id, r FROM t WHERE age BETWEEN 0 AND 40 ORDER BY age, id",
    "SELECT min(name), max(age) FROM t",
    "SELECT * FROM t WHERE id IN (1, 2, -3) OR age IS NULL",
    "SELECT * FROM w ORDER BY a, b",
    "SELECT a, b FROM w WHERE c >= 2 ORDER BY c DESC, d DESC",
    "SELECT x.a, t.name FROM w AS x JOIN t ON t.id = x.b",
    "SELECT count(*) FROM w WHERE a = 'X'",
    "SELECT txkv_check('t')",
    "SELECT txkv_check('w')",
    "SELECT * FROM txkv_scan('kv', 't')",
    "INSERT OR REPLACE INTO t SELECT id + 1, name || 'x', age, r FROM t",
    "UPDATE t SET age = age + 1 WHERE age IS NOT NULL",
    "UPDATE OR REPLACE t SET name = 'bob' WHERE id = 1",
    "UPDATE w SET d = x'01', c = c + 1",
    "UPDATE kv SET value = 'new' WHERE key > -10",
    "DELETE FROM t WHERE age >= 2",
    "DELETE FROM w WHERE c IS NULL",
    "DELETE FROM kv",
    "DELETE FROM t",
};

/* ---- what SQL has made ---- */

static struct txkv_bytes
key_of(const struct entry *e)
{
    return bytes_of(e->key, e->key_bytes);
}

static void
load_entries(uint32_t table)
{
    const struct txkv_range all = { .descending = false };
    struct txkv_cursor *cursor;
    struct txkv_error err;
    enum txkv_rc rc;

    test_ok(txkv_cursor_open(fuzz.session, table, &cursor, &err), &err, "cursor_open");
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err)) {
        const struct txkv_bytes key = txkv_cursor_key(cursor), value = txkv_cursor_value(cursor);
        struct entry *e = &fuzz.entries[fuzz.entry_count++];

        require(fuzz.entry_count < ENTRIES_MAX);
        require(key.bytes <= ENTRY_BYTES && value.bytes <= ENTRY_BYTES);
        e->table = table;
        e->key_bytes = key.bytes;
        e->value_bytes = value.bytes;
        memcpy(e->key, key.data, key.bytes);
        if (value.bytes > 0)
            memcpy(e->value, value.data, value.bytes);
    }
    require(rc == TXKV_NOTFOUND);
    txkv_cursor_close(cursor);
}

static void
open_both(void)
{
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1], path[TEST_PATH_BYTES];
    char *sql = sqlite3_mprintf(setup, files_dir(), files_dir(), files_dir()), *message = NULL;
    struct txkv_error err;
    uint32_t table = 0;

    require(sqlite3_open(":memory:", &fuzz.db) == SQLITE_OK);
    require(sqlite3_txkv_init(fuzz.db, NULL, NULL) == SQLITE_OK);
    if (sqlite3_exec(fuzz.db, sql, NULL, NULL, &message) != SQLITE_OK)
        test_die("%s", message);
    sqlite3_free(sql);
    test_path(path, files_dir(), "rows");
    test_ok(txkv_open(path, NULL, &fuzz.store, &err), &err, "open");
    test_ok(txkv_session_open(fuzz.store, &fuzz.session, &err), &err, "session_open");
    while (txkv_table_next(fuzz.store, &table, name)) {
        require(fuzz.table_count < TABLES_MAX);
        fuzz.tables[fuzz.table_count++] = table;
        load_entries(table);
    }
    test_ok(txkv_checkpoint(fuzz.store, NULL, &err), &err, "checkpoint");
}

/* ---- changes ---- */

static void
put(const struct entry *e)
{
    struct txkv_error err;

    if (fuzz.touched_count == TOUCHED_MAX || e->key_bytes == 0)
        return;
    fuzz.touched[fuzz.touched_count++] = *e;
    test_ok(txkv_put(fuzz.session, e->table, key_of(e), bytes_of(e->value, e->value_bytes), &err),
            &err, "put");
}

static void
remove_entry(const struct entry *e)
{
    struct txkv_error err;

    if (fuzz.touched_count == TOUCHED_MAX)
        return;
    fuzz.touched[fuzz.touched_count++] = *e;
    test_ok(txkv_delete(fuzz.session, e->table, key_of(e), &err), &err, "delete");
}

static void
put_own(struct input *input)
{
    struct entry e = { .table = fuzz.tables[take_u8(input) % fuzz.table_count] };
    const uint8_t *key, *value;

    key = take_bytes(input, take_u8(input) % ENTRY_BYTES, &e.key_bytes);
    memcpy(e.key, key, e.key_bytes);
    value = take_bytes(input, take_u8(input) % ENTRY_BYTES, &e.value_bytes);
    memcpy(e.value, value, e.value_bytes);
    put(&e);
}

static void
change_bytes(struct input *input, uint8_t *bytes, size_t *count)
{
    const uint8_t at = take_u8(input), byte = take_u8(input), length = take_u8(input);

    if (*count > 0)
        bytes[at % *count] = byte;
    if (length % 4 == 0 && *count > 0)
        *count = length / 4 % *count;
    else if (length % 4 == 1)
        *count = length / 4 * 2;
}

static void
change_one(struct input *input)
{
    const uint8_t kind = take_u8(input);
    const struct entry *from = &fuzz.entries[take_u8(input) % fuzz.entry_count];
    struct entry e = *from;

    switch (kind % 6) {
    case 0:
        put_own(input);
        return;
    case 1:
        remove_entry(from);
        return;
    case 2: /* another one's value */
        from = &fuzz.entries[take_u8(input) % fuzz.entry_count];
        memcpy(e.value, from->value, sizeof e.value);
        e.value_bytes = from->value_bytes;
        break;
    case 3: /* under another key */
        if (kind >= 128)
            remove_entry(from);
        change_bytes(input, e.key, &e.key_bytes);
        break;
    default:
        change_bytes(input, e.value, &e.value_bytes);
        break;
    }
    put(&e);
}

static void
change(struct input *input)
{
    struct txkv_error err;

    fuzz.touched_count = 0;
    test_ok(txkv_begin(fuzz.session, &err), &err, "begin");
    while (!take_end(input) && fuzz.touched_count < TOUCHED_MAX)
        change_one(input);
    test_ok(txkv_commit(fuzz.session, TXKV_SYNC_OFF, &err), &err, "commit");
}

static bool
is_same_key(const struct entry *a, const struct entry *b)
{
    return a->table == b->table && a->key_bytes == b->key_bytes &&
           memcmp(a->key, b->key, a->key_bytes) == 0;
}

static void
restore(void)
{
    struct txkv_error err;

    test_ok(txkv_begin(fuzz.session, &err), &err, "begin");
    for (uint32_t i = 0; i < fuzz.touched_count; i++) {
        const struct entry *e = &fuzz.touched[i], *before = NULL;

        for (uint32_t k = 0; k < fuzz.entry_count; k++)
            if (is_same_key(&fuzz.entries[k], e))
                before = &fuzz.entries[k];
        if (before == NULL)
            test_ok(txkv_delete(fuzz.session, e->table, key_of(e), &err), &err, "delete");
        else
            test_ok(txkv_put(fuzz.session, e->table, key_of(e),
                             bytes_of(before->value, before->value_bytes), &err),
                    &err, "put");
    }
    test_ok(txkv_commit(fuzz.session, TXKV_SYNC_OFF, &err), &err, "commit");
}

/* ---- statements ---- */

static int
run(const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int rc;

    require(sqlite3_prepare_v2(fuzz.db, sql, -1, &statement, NULL) == SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(statement); i++)
            touch(sqlite3_column_blob(statement, i), (size_t)sqlite3_column_bytes(statement, i));
    rc = sqlite3_errcode(fuzz.db) & 0xff;
    if (rc != SQLITE_DONE && rc != SQLITE_CORRUPT && rc != SQLITE_CONSTRAINT &&
        rc != SQLITE_MISMATCH && rc != SQLITE_TOOBIG)
        test_die("%s: %s", sql, sqlite3_errmsg(fuzz.db));
    (void)sqlite3_finalize(statement);
    return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = { data, data + bytes };

    if (fuzz.db == NULL)
        open_both();
    if (++fuzz.runs % CHECKPOINT_AFTER == 0) /* or txkv_check has ever more to read */
        test_ok(txkv_checkpoint(fuzz.store, NULL, NULL), NULL, "checkpoint");
    change(&input);
    require(run("BEGIN") == SQLITE_DONE);
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        (void)run(statements[i]);
    require(sqlite3_exec(fuzz.db, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
    restore();
    return 0;
}
