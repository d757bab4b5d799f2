/*
 * base.c - see base.h.
 */
#include "base.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "../../src/record.h"

enum { ROWS = 110, WIDE_ROWS = 6, ROW_BYTES = 70, BIG_BYTES = 5000, LONG_KEY_BYTES = 600 };

struct txkv_options
base_options(void)
{
    return (struct txkv_options){ .segment_bytes = BASE_SEGMENT_BYTES,
                                  .map_size = BASE_MAP_BYTES,
                                  .flush_interval_ms = 60000,
                                  .checkpoint_interval_s = 86400,
                                  .stall_timeout_ms = 1000 };
}

/* ---- what is in it ---- */

struct writer {
    struct txkv *store;
    struct txkv_session *session;
    uint32_t rows, wide;
};

static void
ok(enum txkv_rc rc, const struct txkv_error *err)
{
    test_ok(rc, err, "making the store");
}

static void
put(const struct writer *w, uint32_t table, const char *key, size_t key_bytes, size_t value_bytes,
    uint32_t seed)
{
    static uint8_t value[BIG_BYTES];
    struct txkv_error err;

    memset(value, (int)('a' + seed % 26), value_bytes);
    ok(txkv_put(w->session, table, bytes_of(key, key_bytes), bytes_of(value, value_bytes), &err),
       &err);
}

static void
put_row(const struct writer *w, uint32_t i, uint32_t seed)
{
    char key[32];

    (void)snprintf(key, sizeof key, "row%05u", i);
    put(w, w->rows, key, strlen(key), ROW_BYTES, seed);
}

/* Every third has a long key; all of them begin with the same bytes. Every third is big. */
static void
put_wide(const struct writer *w, uint32_t i)
{
    char key[LONG_KEY_BYTES + 16];

    memset(key, 'k', sizeof key);
    (void)snprintf(key + (i % 3 == 0 ? LONG_KEY_BYTES : 0), 12, "w%04u", i);
    put(w, w->wide, key, i % 3 == 0 ? LONG_KEY_BYTES + 5 : 5, i % 3 == 1 ? BIG_BYTES : 20, i);
}

static void
delete_row(const struct writer *w, uint32_t i)
{
    struct txkv_error err;
    char key[32];

    (void)snprintf(key, sizeof key, "row%05u", i);
    ok(txkv_delete(w->session, w->rows, bytes_of(key, strlen(key)), &err), &err);
}

static void
begin(const struct writer *w)
{
    struct txkv_error err;

    ok(txkv_begin(w->session, &err), &err);
}

static void
commit(const struct writer *w, enum txkv_sync sync)
{
    struct txkv_error err;

    ok(txkv_commit(w->session, sync, &err), &err);
}

static void
checkpoint(const struct writer *w)
{
    struct txkv_error err;

    ok(txkv_checkpoint(w->store, NULL, &err), &err);
}

static uint32_t
make_table(const struct writer *w, const char *name)
{
    struct txkv_error err;
    uint32_t table;

    ok(txkv_table(w->store, name, "a shape", true, &table, &err), &err);
    return table;
}

/* What LMDB gets. */
static void
fill_tree(struct writer *w)
{
    struct txkv_error err;
    uint32_t gone;

    w->rows = make_table(w, "t");
    w->wide = make_table(w, "w");
    gone = make_table(w, "gone");
    begin(w);
    for (uint32_t i = 0; i < ROWS; i++)
        put_row(w, i, i);
    for (uint32_t i = 0; i < WIDE_ROWS; i++)
        put_wide(w, i);
    put(w, gone, "x", 1, 1, 0);
    commit(w, TXKV_SYNC_OFF);
    checkpoint(w);
    ok(txkv_table_drop(w->store, &gone, 1, &err), &err);
    begin(w);
    for (uint32_t i = 0; i < ROWS; i += 2)
        delete_row(w, i);
    commit(w, TXKV_SYNC_OFF);
    checkpoint(w);
    begin(w);
    for (uint32_t i = 1; i < ROWS; i += 10)
        put_row(w, i, i + 1);
    commit(w, TXKV_SYNC_OFF);
    checkpoint(w);
}

static void
prepare(const struct writer *w, bool commits)
{
    struct txkv_error err;

    begin(w);
    put_row(w, 500, 1);
    ok(txkv_prepare(w->session, bytes_of("a note", 6), &err), &err);
    if (commits)
        txkv_commit_prepared(w->session);
    else
        txkv_rollback(w->session);
}

/* What stays in the log. */
static void
fill_log(struct writer *w)
{
    const char *const other_name = "other";
    struct txkv_error err;
    uint32_t made, gone;

    for (uint32_t i = 0; i < 6; i++) {
        begin(w);
        put_row(w, i, i + 3);
        delete_row(w, i + 20);
        put_wide(w, WIDE_ROWS + i);
        commit(w, i % 2 == 0 ? TXKV_SYNC_FULL : TXKV_SYNC_OFF);
    }
    made = make_table(w, "made");
    gone = make_table(w, "gone");
    begin(w);
    put(w, made, "m", 1, 10, 1);
    put(w, gone, "g", 1, 10, 1);
    commit(w, TXKV_SYNC_FULL);
    ok(txkv_table_rename(w->store, &made, &other_name, 1, &err), &err);
    ok(txkv_table_drop(w->store, &gone, 1, &err), &err);
    prepare(w, true);
    prepare(w, false);
    for (uint32_t i = 0; i < 12; i++) { /* into a second segment */
        begin(w);
        put(w, w->wide, "big", 3, BIG_BYTES, i);
        put_row(w, 300 + i, i);
        commit(w, i % 4 == 0 ? TXKV_SYNC_FULL : TXKV_SYNC_OFF);
    }
}

/* ---- images ---- */

static int
compare_names(const void *a, const void *b)
{
    return strcmp(((const struct image *)a)->name, ((const struct image *)b)->name);
}

static void
add_image(struct base *base, const char *dir, const char *name)
{
    require(base->count < BASE_FILES_MAX);
    if (image_read(&base->files[base->count], dir, name))
        base->count++;
}

static void
take_images(struct base *base, const char *dir)
{
    char wal[TEST_PATH_BYTES], name[64];
    const struct dirent *entry;
    DIR *stream;

    add_image(base, dir, "data.mdb");
    test_path(wal, dir, "wal");
    stream = opendir(wal);
    require(stream != NULL);
    /* The target's one thread reads this directory stream. NOLINTNEXTLINE(concurrency-*) */
    while ((entry = readdir(stream)) != NULL) {
        (void)snprintf(name, sizeof name, "wal/%.50s", entry->d_name);
        if (strstr(entry->d_name, ".wal") != NULL)
            add_image(base, dir, name);
    }
    (void)closedir(stream);
    qsort(base->files + 1, base->count - 1, sizeof base->files[0], compare_names);
    add_image(base, dir, "txkv.shm");
    add_image(base, dir, "lock.mdb");
}

void
base_make(struct base *base, const char *dir, const char *name)
{
    const struct txkv_options options = base_options();
    struct writer w = { .store = NULL };
    char path[TEST_PATH_BYTES];
    struct txkv_error err;

    memset(base, 0, sizeof *base);
    test_path(path, dir, name);
    ok(txkv_open(path, &options, &w.store, &err), &err);
    ok(txkv_session_open(w.store, &w.session, &err), &err);
    fill_tree(&w);
    fill_log(&w);
    base->store_id = txkv_store_id(w.store);
    take_images(base, path);
    txkv_session_close(w.session);
    ok(txkv_close(w.store, &err), &err);
    test_dir_remove(path);
}

/* ---- using a store ---- */

/* Only damage is an excuse. */
static bool
went_well(enum txkv_rc rc, const struct txkv_error *err)
{
    if (rc != TXKV_OK && rc != TXKV_CORRUPT)
        test_die("%s: %s", txkv_rc_name(rc), err->text);
    return rc == TXKV_OK;
}

/* Adds up what keys and values hash to; false: damage. */
static bool
walk(struct txkv_session *s, uint32_t table, bool descending, uint64_t *rows, uint64_t *sum)
{
    const struct txkv_range all = { .descending = descending };
    struct txkv_cursor *cursor;
    struct txkv_error err;
    enum txkv_rc rc;

    *rows = *sum = 0;
    ok(txkv_cursor_open(s, table, &cursor, &err), &err);
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err)) {
        const struct txkv_bytes key = txkv_cursor_key(cursor), value = txkv_cursor_value(cursor);

        *sum += tx_record_hash(key.data, key.bytes, 1) + tx_record_hash(value.data, value.bytes, 2);
        ++*rows;
    }
    txkv_cursor_close(cursor);
    return rc == TXKV_NOTFOUND || went_well(rc, &err);
}

/* Every row of a walk is there by its key. */
static bool
look_up_all(struct txkv_session *reader, struct txkv_session *s, uint32_t table)
{
    const struct txkv_range all = { .descending = false };
    struct txkv_cursor *cursor;
    struct txkv_error err;
    enum txkv_rc rc;

    ok(txkv_cursor_open(reader, table, &cursor, &err), &err);
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err)) {
        struct txkv_bytes value;

        rc = txkv_get(s, table, txkv_cursor_key(cursor), &value, &err);
        if (rc != TXKV_OK)
            break;
        require(value.bytes == txkv_cursor_value(cursor).bytes);
        touch(value.data, value.bytes);
    }
    txkv_cursor_close(cursor);
    if (rc == TXKV_NOTFOUND)
        rc = TXKV_OK;
    return went_well(rc, &err);
}

static bool
read_table(struct txkv_session *reader, struct txkv_session *s, uint32_t table)
{
    uint64_t rows = 0, sum = 0, rows_back = 0, sum_back = 0;
    const bool both =
        walk(s, table, false, &rows, &sum) && walk(s, table, true, &rows_back, &sum_back);

    if (both && (rows != rows_back || sum != sum_back))
        test_die("table %u: %llu rows one way, %llu the other", table, (unsigned long long)rows,
                 (unsigned long long)rows_back);
    return both && look_up_all(reader, s, table);
}

bool
base_read(struct txkv *store)
{
    char name[TXKV_TABLE_NAME_BYTES_MAX + 1];
    struct txkv_session *reader, *s;
    struct txkv_error err;
    uint32_t table = 0;
    bool good = true;

    ok(txkv_session_open(store, &reader, &err), &err);
    ok(txkv_session_open(store, &s, &err), &err);
    while (txkv_table_next(store, &table, name))
        good = read_table(reader, s, table) && good;
    txkv_session_close(s);
    txkv_session_close(reader);
    return good;
}

bool
base_write(struct txkv *store, const char *name)
{
    struct writer w = { .store = store };
    struct txkv_error err;
    enum txkv_rc rc;

    if (txkv_table(store, name, NULL, true, &w.rows, &err) != TXKV_OK)
        return false;
    ok(txkv_session_open(store, &w.session, &err), &err);
    begin(&w);
    for (uint32_t i = 0; i < 40; i++)
        put_row(&w, i * 3, i);
    for (uint32_t i = 0; i < 40; i++)
        delete_row(&w, i * 7);
    rc = txkv_commit(w.session, TXKV_SYNC_OFF, &err);
    txkv_session_close(w.session);
    return rc == TXKV_OK;
}
