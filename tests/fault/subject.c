/*
 * subject.c - see subject.h.
 */
#include "subject.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_BYTES_MAX = 9000, KEY_BYTES_MAX = 800 };

struct shared *shared;
uint32_t table, wide_table;

/* ---- rows ---- */

static struct txkv_bytes
row_key(uint32_t i, char key[32])
{
    (void)snprintf(key, 32, "row%05u", i);
    return bytes_of(key, strlen(key));
}

static struct txkv_bytes
row_value(uint32_t i)
{
    static uint8_t value[VALUE_BYTES_MAX];
    const uint64_t h = mix64(i);
    const size_t bytes = h % 4 == 0 ? (h >> 8) % VALUE_BYTES_MAX : (h >> 8) % 400;

    for (size_t j = 0; j < bytes; j++)
        value[j] = (uint8_t)(h >> j % 7);
    return bytes_of(value, bytes);
}

/* Row n of table w, n = i * WIDE + j: the number stands at its beginning, and long keys all begin
 * with the same bytes. */
static struct txkv_bytes
wide_key(uint32_t n, char key[KEY_BYTES_MAX])
{
    const bool is_long = n % 16 == 3;

    memset(key, 'x', KEY_BYTES_MAX);
    (void)snprintf(key + (is_long ? 600 : 0), 16, "w%06u", n);
    return bytes_of(key, is_long ? 607 : 7);
}

static struct txkv_bytes
wide_value(uint32_t n)
{
    static uint8_t value[VALUE_BYTES_MAX];
    const uint64_t h = mix64(n + 1000000);
    const size_t bytes = h % 64 == 0 ? 4200 : (h >> 8) % 60;

    for (size_t j = 0; j < bytes; j++)
        value[j] = (uint8_t)(h >> j % 7);
    return bytes_of(value, bytes);
}

static bool
is_same(struct txkv_bytes a, struct txkv_bytes b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

/* ---- making the store ---- */

void
open_store(const char *dir, struct txkv **store, bool create, bool salvage)
{
    const struct txkv_options options = { .segment_bytes = 64 * 1024,
                                          .map_size = 64 << 20,
                                          .flush_interval_ms = 60000,
                                          .checkpoint_interval_s = 86400,
                                          .must_exist = !create,
                                          .salvage = salvage };
    struct txkv_error err = { TXKV_OK, "" };

    shared->opened = txkv_open(dir, &options, store, &err);
    memcpy(shared->text, err.text, sizeof shared->text);
}

void
open_tables(struct txkv *store)
{
    struct txkv_error err;

    test_ok(txkv_table(store, "t", NULL, true, &table, &err), &err, "table");
    test_ok(txkv_table(store, "w", NULL, true, &wide_table, &err), &err, "table");
}

void
commit_one(struct txkv_session *s, uint32_t i, enum txkv_sync sync)
{
    struct txkv_error err;
    char key[32], wide[KEY_BYTES_MAX];

    test_ok(txkv_begin(s, &err), &err, "begin");
    test_ok(txkv_put(s, table, bytes_of("count", 5), bytes_of(&i, sizeof i), &err), &err, "put");
    test_ok(txkv_put(s, table, row_key(i, key), row_value(i), &err), &err, "put");
    if (i > WINDOW)
        test_ok(txkv_delete(s, table, row_key(i - WINDOW, key), &err), &err, "delete");
    for (uint32_t n = i * WIDE; n < (i + 1) * WIDE; n++)
        test_ok(txkv_put(s, wide_table, wide_key(n, wide), wide_value(n), &err), &err, "put");
    test_ok(txkv_commit(s, sync, &err), &err, "commit");
}

void
fill_store(struct rng *rng, const char *dir, const char *old_dir)
{
    const uint32_t checkpoint_at = rng_below(rng, 2 * TRANSACTIONS); /* often: never */
    const uint32_t percent_durable = rng_below(rng, 4) * 33;
    struct txkv *store = NULL;
    struct txkv_session *s;
    struct txkv_checkpoint_report report;
    struct txkv_error err;

    open_store(dir, &store, true, false);
    if (shared->opened != TXKV_OK)
        test_die("open: %s", shared->text);
    open_tables(store);
    test_ok(txkv_session_open(store, &s, &err), &err, "session_open");
    for (uint32_t i = 1; i <= TRANSACTIONS; i++) {
        commit_one(s, i, rng_chance(rng, percent_durable) ? TXKV_SYNC_FULL : TXKV_SYNC_OFF);
        shared->lsn[i] = txkv_last_lsn(s);
        if (i == checkpoint_at) {
            test_dir_copy(dir, old_dir);
            test_ok(txkv_checkpoint(store, &report, &err), &err, "checkpoint");
            shared->checkpoint_lsn = report.to_lsn;
        }
    }
    (void)raise(SIGKILL);
}

/* ---- looking at it ---- */

uint32_t
read_state(struct txkv_session *s)
{
    struct txkv_bytes count;
    struct txkv_error err;
    uint32_t state = 0;
    const enum txkv_rc rc = txkv_get(s, table, bytes_of("count", 5), &count, &err);

    if (rc == TXKV_OK && count.bytes == sizeof state)
        memcpy(&state, count.data, sizeof state);
    else if (rc != TXKV_NOTFOUND)
        test_die("get: %s", txkv_rc_name(rc));
    if (state > TRANSACTIONS)
        test_die("the count is %u", state);
    return state;
}

/* Calls visit with every row of a table. */
static void
scan(struct txkv_session *s, uint32_t number, void *arg,
     void (*visit)(void *arg, struct txkv_bytes key, struct txkv_bytes value))
{
    const struct txkv_range all = { .descending = false };
    struct txkv_cursor *cursor;
    struct txkv_error err;
    enum txkv_rc rc;

    test_ok(txkv_cursor_open(s, number, &cursor, &err), &err, "cursor_open");
    for (rc = txkv_cursor_seek(cursor, &all, &err); rc == TXKV_OK;
         rc = txkv_cursor_next(cursor, &err))
        visit(arg, txkv_cursor_key(cursor), txkv_cursor_value(cursor));
    if (rc != TXKV_NOTFOUND)
        test_ok(rc, &err, "scan");
    txkv_cursor_close(cursor);
}

/* What a scan has to find next, of a state. */
struct expected {
    uint32_t state, next;
};

static void
expect_row(void *arg, struct txkv_bytes k, struct txkv_bytes v)
{
    struct expected *e = arg;
    char key[32];

    if (is_same(k, bytes_of("count", 5)))
        return;
    if (!is_same(k, row_key(e->next, key)))
        test_die("state %u: row %u is missing, or another is there", e->state, e->next);
    if (!is_same(v, row_value(e->next)))
        test_die("state %u: row %u has a wrong value", e->state, e->next);
    e->next++;
}

/* The rows of table w are found by number, since long keys stand apart. */
static void
count_wide(void *arg, struct txkv_bytes k, struct txkv_bytes v)
{
    uint32_t *count = arg;

    (void)k;
    (void)v;
    ++*count;
}

void
check_state(struct txkv_session *s, uint32_t state)
{
    struct expected e = { state, state > WINDOW ? state - WINDOW + 1 : 1 };
    char key[KEY_BYTES_MAX];
    uint32_t count = 0;

    scan(s, table, &e, expect_row);
    if (e.next != state + 1)
        test_die("state %u: rows end at %u", state, e.next - 1);
    scan(s, wide_table, &count, count_wide);
    if (count != state * WIDE)
        test_die("state %u: %u rows in table w", state, count);
    for (uint32_t n = WIDE; n < (state + 1) * WIDE; n++) {
        struct txkv_bytes value;
        struct txkv_error err;

        test_ok(txkv_get(s, wide_table, wide_key(n, key), &value, &err), &err, "get");
        if (!is_same(value, wide_value(n)))
            test_die("state %u: row %u of w has a wrong value", state, n);
    }
}

/* ---- rows by themselves ---- */

static bool
is_row(struct txkv_bytes k, struct txkv_bytes v)
{
    char key[32];
    uint32_t i;

    if (is_same(k, bytes_of("count", 5))) {
        memcpy(&i, v.data, v.bytes == sizeof i ? sizeof i : 0);
        return v.bytes == sizeof i && i >= 1 && i <= TRANSACTIONS + 1;
    }
    for (i = 1; i <= TRANSACTIONS + 1; i++)
        if (is_same(k, row_key(i, key)))
            return is_same(v, row_value(i));
    return false;
}

static bool
is_wide(struct txkv_bytes k, struct txkv_bytes v)
{
    char key[KEY_BYTES_MAX];

    for (uint32_t n = WIDE; n < (TRANSACTIONS + 2) * WIDE; n++)
        if (is_same(k, wide_key(n, key)))
            return is_same(v, wide_value(n));
    return false;
}

static void
judge_row(struct txkv_bytes k, struct txkv_bytes v, bool fits)
{
    if (!fits)
        test_die("a row that was never written: key %.*s (%zu bytes), value of %zu bytes",
                 (int)(k.bytes < 20 ? k.bytes : 20), (const char *)k.data, k.bytes, v.bytes);
}

/* Rows that need not fit are read all the same, to their last byte. */
static void
visit_row(void *arg, struct txkv_bytes k, struct txkv_bytes v)
{
    static volatile uint8_t sum;

    for (size_t i = 0; i < v.bytes; i++)
        sum = (uint8_t)(sum + v.data[i]);
    shared->rows++;
    if (*(const bool *)arg)
        judge_row(k, v, is_row(k, v));
}

static void
visit_wide(void *arg, struct txkv_bytes k, struct txkv_bytes v)
{
    static volatile uint8_t sum;

    for (size_t i = 0; i < v.bytes; i++)
        sum = (uint8_t)(sum + v.data[i]);
    shared->rows++;
    if (*(const bool *)arg)
        judge_row(k, v, is_wide(k, v));
}

void
check_rows(struct txkv_session *s, bool must_fit)
{
    shared->rows = 0;
    scan(s, table, &must_fit, visit_row);
    scan(s, wide_table, &must_fit, visit_wide);
}
