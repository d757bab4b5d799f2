/*
 * store_fixture.h - a new store with one table for each test, and short forms of the public calls.
 *
 * The log's fdatasync goes through hooks that can hold it or make it fail; they are in place before
 * the store is opened, since its threads read tx_os. Short forms assert, so they are for the test's
 * own thread; other threads call txkv.h and count what goes wrong.
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../src/atomic.h"
#include "../../src/mem.h"
#include "../../src/os.h"
#include "../../src/store.h"
#include "temp_dir.h"

enum { KIB = 1 << 10, MIB = 1 << 20, LIMIT_S = 30 };

static char dir[TEMP_DIR_BYTES];
static struct txkv *db;
static struct txkv_session *s1, *s2; /* two users of it */
static uint32_t table;
static struct txkv_error err;
static uint64_t live_before;

#define OK(call) assert_int_equal((call), TXKV_OK)

/* ---- hooks ---- */

static uint32_t sync_held, sync_waits, sync_fails; /* atomic */

static inline void
nap(void)
{
    const struct timespec t = { 0, 200000 };

    (void)nanosleep(&t, NULL);
}

static inline int
hooked_fdatasync(int fd)
{
    while (tx_load_acquire_32(&sync_held) != 0) {
        tx_store_release_32(&sync_waits, 1);
        nap();
    }
    tx_store_release_32(&sync_waits, 0);
    if (tx_load_acquire_32(&sync_fails) != 0) {
        errno = EIO;
        return -1;
    }
    return fdatasync(fd);
}

/* The time of day, which stands still unless a test moves it: the log then has one time behind each
 * checkpoint. Atomic. */
static uint64_t hooked_ms;

static inline uint64_t
hooked_time_ms(void)
{
    return tx_load_relaxed_64(&hooked_ms);
}

/* ---- a store ---- */

static const struct txkv_options small_store = { .map_size = 64 * MIB, .segment_bytes = 256 * KIB };

static inline void
reopen_with(const struct txkv_options *options)
{
    const enum txkv_rc rc = txkv_open(dir, options, &db, &err);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
    OK(txkv_table(db, "t", "(k, v)", true, &table, &err));
    OK(txkv_session_open(db, &s1, &err));
    OK(txkv_session_open(db, &s2, &err));
}

static inline void
reopen(void)
{
    reopen_with(&small_store);
}

static inline void
close_sessions(void)
{
    txkv_session_close(s1);
    txkv_session_close(s2);
    s1 = s2 = NULL;
}

static inline enum txkv_rc
close_all(void)
{
    struct txkv *closing = db;

    close_sessions();
    db = NULL;
    return txkv_close(closing, &err);
}

static inline int
make_dir(void **state)
{
    (void)state;
    live_before = tx_mem_live();
    tx_os.fdatasync = hooked_fdatasync;
    tx_os.time_ms = hooked_time_ms;
    tx_store_relaxed_64(&hooked_ms, UINT64_C(1700000000000));
    memset(&err, 0, sizeof err);
    return temp_dir_make(dir) ? 0 : -1;
}

static inline int
setup(void **state)
{
    (void)alarm(LIMIT_S); /* a test that hangs is a test that fails */
    if (make_dir(state) != 0)
        return -1;
    reopen();
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    tx_mem_fail_at(0, false);
    tx_store_release_32(&sync_held, 0);
    if (db != NULL)
        (void)close_all();
    tx_store_release_32(&sync_fails, 0);
    tx_os = tx_os_system;
    return temp_dir_remove(dir) && tx_mem_live() == live_before ? 0 : -1;
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define DIR_TEST(name)   cmocka_unit_test_setup_teardown(name, make_dir, teardown)

/* What a crash now would leave: the files as they are, in another directory. */
static char copy_dir[96];

static inline void
copy_store(void)
{
    char command[512];

    (void)snprintf(copy_dir, sizeof copy_dir, "%s/copy", dir);
    (void)snprintf(command, sizeof command, "mkdir %s && cp -r %s/wal %s/data.mdb %s", copy_dir,
                   dir, dir, copy_dir);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c,concurrency-mt-unsafe)
}

/* Change bits of a byte of a file of the copy. */
static inline void
damage_copy_bits(const char *name, uint64_t at, uint8_t bits)
{
    char path[160];
    uint8_t byte;
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", copy_dir, name);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    (void)close(fd);
}

static inline void
damage_copy(const char *name, uint64_t at)
{
    damage_copy_bits(name, at, 0x04);
}

static struct txkv *other;

/* Another handle. */
static inline enum txkv_rc
try_open(const char *path, const struct txkv_options *options)
{
    memset(&err, 0, sizeof err);
    return txkv_open(path, options, &other, &err);
}

/* A path inside the directory. */
static inline const char *
in_dir(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

/* ---- short forms ---- */

static inline struct txkv_bytes
text(const char *s)
{
    return (struct txkv_bytes){ (const uint8_t *)s, s == NULL ? 0 : strlen(s) };
}

static inline void
begin(struct txkv_session *s)
{
    OK(txkv_begin(s, &err));
}

static inline void
put(struct txkv_session *s, const char *key, const char *value)
{
    OK(txkv_put(s, table, text(key), text(value), &err));
}

static inline void
erase(struct txkv_session *s, const char *key)
{
    OK(txkv_delete(s, table, text(key), &err));
}

static inline enum txkv_rc
try_commit(struct txkv_session *s)
{
    return txkv_commit(s, TXKV_SYNC_OFF, &err);
}

static inline void
commit(struct txkv_session *s)
{
    const enum txkv_rc rc = try_commit(s);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
}

/* One committed write; value NULL deletes. */
static inline void
set(struct txkv_session *s, const char *key, const char *value)
{
    begin(s);
    if (value != NULL)
        put(s, key, value);
    else
        erase(s, key);
    commit(s);
}

/* A copy of the value, or NULL when there is none. */
static inline const char *
get(struct txkv_session *s, const char *key)
{
    static char copies[4][256];
    static unsigned next;
    char *copy = copies[next++ % 4];
    struct txkv_bytes value;
    const enum txkv_rc rc = txkv_get(s, table, text(key), &value, &err);

    if (rc == TXKV_NOTFOUND)
        return NULL;
    OK(rc);
    assert_true(value.bytes < sizeof copies[0]);
    memcpy(copy, value.data, value.bytes);
    copy[value.bytes] = '\0';
    return copy;
}

static inline bool
has(struct txkv_session *s, const char *key, const char *value)
{
    const char *found = get(s, key);

    if (found == NULL || value == NULL)
        return found == value;
    return strcmp(found, value) == 0;
}

static inline struct txkv_cursor *
new_cursor(struct txkv_session *s)
{
    struct txkv_cursor *cursor;

    OK(txkv_cursor_open(s, table, &cursor, &err));
    return cursor;
}

/* A range in interval notation: "[a,b]", "(a,b)", "[a,)", "(,)"; with '<' in front: descending. */
static inline struct txkv_range
range_of(const char *notation)
{
    static char lo[64], hi[64];
    struct txkv_range range = { .descending = notation[0] == '<' };
    const char *p = notation + range.descending;
    const char *comma = strchr(p, ',');
    const size_t lo_bytes = (size_t)(comma - p) - 1, hi_bytes = strlen(comma) - 2;

    memcpy(lo, p + 1, lo_bytes);
    memcpy(hi, comma + 1, hi_bytes);
    if (lo_bytes > 0)
        range.lo = (struct txkv_bytes){ (const uint8_t *)lo, lo_bytes };
    if (hi_bytes > 0)
        range.hi = (struct txkv_bytes){ (const uint8_t *)hi, hi_bytes };
    range.lo_open = *p == '(';
    range.hi_open = comma[1 + hi_bytes] == ')';
    return range;
}

static inline enum txkv_rc
seek(struct txkv_cursor *cursor, const char *notation)
{
    const struct txkv_range range = range_of(notation);

    return txkv_cursor_seek(cursor, &range, &err);
}

/* Appends "key=value " of the row to the text. */
static inline void
append_row(const struct txkv_cursor *cursor, char *rows, size_t room)
{
    const struct txkv_bytes key = txkv_cursor_key(cursor), value = txkv_cursor_value(cursor);
    const size_t used = strlen(rows);

    (void)snprintf(rows + used, room - used, "%.*s=%.*s ", (int)key.bytes, (const char *)key.data,
                   (int)value.bytes, (const char *)value.data);
}

/* The rows from where the cursor stands (rc says whether it does) to its end: "a=1 b=2 ". */
static inline const char *
rest_of(struct txkv_cursor *cursor, enum txkv_rc rc)
{
    static char rows[2048];

    rows[0] = '\0';
    for (; rc == TXKV_OK; rc = txkv_cursor_next(cursor, &err))
        append_row(cursor, rows, sizeof rows);
    assert_int_equal(rc, TXKV_NOTFOUND);
    return rows;
}

static inline void
expect_scan(struct txkv_session *s, const char *notation, const char *rows)
{
    struct txkv_cursor *cursor = new_cursor(s);

    assert_string_equal(rest_of(cursor, seek(cursor, notation)), rows);
    txkv_cursor_close(cursor);
}

static inline void
checkpoint(void)
{
    const enum txkv_rc rc = txkv_checkpoint(db, NULL, &err);

    if (rc != TXKV_OK)
        print_error("%s\n", err.text);
    OK(rc);
}

static inline double
stat_of(const char *name)
{
    struct txkv_stat stats[TXKV_STATS_MAX];
    const size_t count = txkv_stats(db, stats);

    for (size_t i = 0; i < count; i++)
        if (strcmp(stats[i].name, name) == 0)
            return stats[i].value;
    fail_msg("no statistic %s", name);
    return 0;
}

/* Whether there is something in the test's directory whose name contains that. */
static inline enum txkv_rc
looks_like(void *arg, const char *name, struct txkv_error *e)
{
    (void)e;
    return strstr(name, arg) != NULL ? TXKV_EXISTS : TXKV_OK;
}

static inline bool
is_there(const char *part)
{
    char copy[64];

    (void)snprintf(copy, sizeof copy, "%s", part);
    return tx_os_list_dir(dir, looks_like, copy, &err) == TXKV_EXISTS;
}

#endif /* STORE_FIXTURE_H */
