/*
 * test_rows.c - the rows that a checkpoint moves, collected by the caller and by a thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/mem.h"
#include "../../src/os.h"
#include "../../src/rows.h"

enum {
    KEYS = 60000,
    FEW = 1000,      /* not enough for a thread */
    MANY = 3 * KEYS, /* versions: enough for one */
    MEMTABLES = 3,
    VALUE_MAX = 100000
};

/* What a checkpoint has: frozen memtables, newest first, and what is in them. */
struct overlay {
    struct tx_core core;
    struct tx_memtable *memtables[MEMTABLES];
    uint64_t keys[KEYS], order[KEYS]; /* order: indexes of keys, as the keys are ordered */
    uint64_t newest[KEYS];            /* the LSN of the key's newest version; 0: none */
};

static struct overlay overlay;
static uint8_t value[VALUE_MAX];
static uint64_t live;

static int
compare(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return memcmp(&overlay.keys[*a], &overlay.keys[*b], sizeof(uint64_t));
}

static uint32_t
table_of(uint64_t i)
{
    return overlay.keys[i] % 256 < 100 ? 1 : 2; /* by the first byte, so that tables are in order */
}

/* Some are deleted, and some are about as long as what is copied, or much longer. */
static const uint8_t *
value_of(uint64_t lsn)
{
    return lsn % 5 == 0 ? NULL : value + lsn % 7;
}

static uint32_t
value_bytes_of(uint64_t lsn)
{
    if (lsn % 997 == 0)
        return VALUE_MAX - 7;
    return lsn % 101 < 3 ? (uint32_t)(4087 + lsn % 101) : (uint32_t)(lsn % 50);
}

static int
set_up(void **state)
{
    (void)state;
    live = tx_mem_live();
    memset(&overlay, 0, sizeof overlay);
    (void)pthread_mutex_init(&overlay.core.overlay_mutex, NULL);
    (void)pthread_mutex_init(&overlay.core.order_mutex, NULL);
    for (uint64_t i = 0; i < VALUE_MAX; i++)
        value[i] = (uint8_t)(i * 31);
    for (uint64_t i = 0; i < KEYS; i++) {
        overlay.keys[i] = i * 0x9e3779b97f4a7c15u;
        overlay.order[i] = i;
    }
    qsort(overlay.order, KEYS, sizeof overlay.order[0], compare);
    for (uint64_t i = 0; i < MEMTABLES; i++)
        if (tx_memtable_create(0, false, &overlay.memtables[i], NULL) != TXKV_OK)
            return -1;
    return tx_views_init(&overlay.core.views, overlay.memtables[0], 0) != TXKV_OK;
}

static int
tear_down(void **state)
{
    (void)state;
    tx_mem_fail_at(0, false);
    for (uint64_t i = 1; i < MEMTABLES; i++)
        tx_memtable_free(overlay.memtables[i]);
    tx_views_destroy(&overlay.core.views);
    (void)pthread_mutex_destroy(&overlay.core.order_mutex);
    (void)pthread_mutex_destroy(&overlay.core.overlay_mutex);
    return tx_mem_live() != live;
}

/* Versions with the LSNs 1 to `count`, the oldest third in the last memtable. */
static void
enter(uint64_t count)
{
    for (uint64_t lsn = 1; lsn <= count; lsn++) {
        const uint64_t memtable = MEMTABLES - 1 - (lsn - 1) * MEMTABLES / count;
        const uint64_t i = (lsn % 7 == 0 ? lsn / 2 : lsn) % KEYS;
        const struct tx_key key = { (const uint8_t *)&overlay.keys[i], 8, table_of(i) };

        overlay.newest[i] = lsn;
        assert_int_equal(tx_memtable_insert(overlay.memtables[memtable], &key, tx_key_hash(&key),
                                            lsn, value_of(lsn), value_bytes_of(lsn)),
                         TXKV_OK);
    }
}

static struct tx_rows *
rows_from(uint64_t from_lsn)
{
    struct tx_rows *rows;

    assert_int_equal(tx_rows_create(&overlay.core, overlay.memtables, MEMTABLES, from_lsn, &rows),
                     TXKV_OK);
    return rows;
}

static bool
is_row(const struct tx_row *row, uint64_t i)
{
    const uint64_t lsn = overlay.newest[i];

    if (row->table != table_of(i) || row->key_bytes != 8 ||
        memcmp(row->key, &overlay.keys[i], 8) != 0 || (row->value == NULL) != (lsn % 5 == 0))
        return false;
    return row->value == NULL || (row->value_bytes == value_bytes_of(lsn) &&
                                  memcmp(row->value, value_of(lsn), row->value_bytes) == 0);
}

/* All rows come, or `at_least` of them, each with its newest version. */
static void
expect(struct tx_rows *rows, uint64_t from_lsn, uint64_t at_least)
{
    const struct tx_row *row = NULL;
    uint32_t left = 0;
    uint64_t count = 0;

    for (uint64_t n = 0; n < KEYS && count < at_least; n++) {
        const uint64_t i = overlay.order[n];

        if (overlay.newest[i] == 0 || overlay.newest[i] < from_lsn)
            continue;
        if (left == 0)
            left = tx_rows_next(rows, &row);
        assert_int_not_equal(left, 0);
        assert_true(is_row(row, i));
        row++;
        left--;
        count++;
    }
    if (count == at_least)
        return;
    assert_int_equal(left, 0);
    assert_int_equal(tx_rows_next(rows, &row), 0);
    assert_int_equal(tx_rows_next(rows, &row), 0);
}

/* ---- what comes ---- */

static void
of_no_versions_there_are_no_rows(void **state)
{
    struct tx_rows *rows = rows_from(0);

    (void)state;
    expect(rows, 0, KEYS);
    tx_rows_free(rows);
}

static void
few_rows_come_in_order_with_their_newest_versions(void **state)
{
    struct tx_rows *rows;

    (void)state;
    enter(FEW);
    rows = rows_from(FEW / 3);
    expect(rows, FEW / 3, KEYS);
    tx_rows_free(rows);
}

static void
many_rows_come_in_order_with_their_newest_versions(void **state)
{
    struct tx_rows *rows;

    (void)state;
    enter(MANY);
    rows = rows_from(MANY / 2);
    expect(rows, MANY / 2, KEYS);
    tx_rows_free(rows);
}

static void
all_of_them_come_again_from_wherever_they_were_left(void **state)
{
    static const uint64_t stops[] = { 0, 1, 3000, 50000, KEYS };
    struct tx_rows *rows;

    (void)state;
    enter(MANY);
    rows = rows_from(0);
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        expect(rows, 0, stops[i]);
        tx_rows_rewind(rows);
    }
    tx_rows_rewind(rows);
    expect(rows, 0, KEYS);
    tx_rows_free(rows);
    rows = rows_from(0);
    expect(rows, 0, 3000);
    tx_rows_free(rows); /* with a thread that waits for room */
}

/* ---- what can be missing ---- */

static void
without_memory_all_rows_come_or_none(void **state)
{
    uint32_t failed = 0, came = 0;

    (void)state;
    enter(MANY / 2);
    for (uint64_t n = 1; n < 40; n++) {
        const bool forever = n % 2 == 0;
        struct tx_rows *rows;

        tx_mem_fail_at(1 + n / 2, forever);
        if (tx_rows_create(&overlay.core, overlay.memtables, MEMTABLES, 0, &rows) == TXKV_OK) {
            expect(rows, 0, KEYS);
            came++;
        } else {
            assert_null(rows);
            failed++;
        }
        tx_mem_fail_at(0, false);
        tx_rows_free(rows);
    }
    assert_true(failed >= 4 && came >= 20);
}

/* Stacks that no address space has room for. */
static void
set_stack(size_t bytes)
{
    pthread_attr_t attributes;

    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, bytes), 0);
    assert_int_equal(pthread_setattr_default_np(&attributes), 0);
    (void)pthread_attr_destroy(&attributes);
}

static void *
do_nothing(void *arg)
{
    return arg;
}

static void
without_a_thread_all_rows_come(void **state)
{
    struct tx_rows *rows;
    pthread_t thread;
    bool started;

    (void)state;
    enter(MANY);
    set_stack((size_t)1 << 50);
    started = tx_os_thread(&thread, do_nothing, NULL, "nothing", NULL) == TXKV_OK;
    rows = rows_from(0);
    expect(rows, 0, KEYS);
    tx_rows_free(rows);
    set_stack((size_t)8 << 20);
    assert_false(started);
}

/* ---- beside a scan ---- */

struct scan {
    pthread_t thread;
    uint64_t counts[MEMTABLES];
};

/* It puts every memtable's keys in order for itself. */
static void *
scan_all(void *arg)
{
    struct scan *scan = arg;

    for (uint32_t m = 0; m < MEMTABLES; m++) {
        const struct tx_skiplist *list =
            tx_order_for_scan(&overlay.core, overlay.memtables[MEMTABLES - 1 - m]);

        for (const struct tx_node *node = tx_skiplist_first(list); node != NULL;
             node = tx_node_next(node))
            scan->counts[m]++;
    }
    return NULL;
}

/*
 * Goal: nodes that a scan links while they are walked over come all the same, and the scan finds
 * them all.
 * Method: the scan begins before there are rows, after, or beside them.
 */
static void
rows_and_scans_do_not_see_each_other(void **state)
{
    struct scan scan = { 0 };
    struct tx_rows *rows;

    (void)state;
    enter(MANY);
    assert_int_equal(pthread_create(&scan.thread, NULL, scan_all, &scan), 0);
    rows = rows_from(0);
    expect(rows, 0, KEYS);
    assert_int_equal(pthread_join(scan.thread, NULL), 0);
    for (uint32_t m = 0; m < MEMTABLES; m++)
        assert_int_equal(scan.counts[m], overlay.memtables[MEMTABLES - 1 - m]->keys);
    tx_rows_rewind(rows);
    expect(rows, 0, KEYS);
    tx_rows_free(rows);
    rows = rows_from(0); /* out of the lists */
    expect(rows, 0, KEYS);
    tx_rows_free(rows);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(of_no_versions_there_are_no_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(few_rows_come_in_order_with_their_newest_versions, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(many_rows_come_in_order_with_their_newest_versions, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(all_of_them_come_again_from_wherever_they_were_left, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_memory_all_rows_come_or_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_thread_all_rows_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_and_scans_do_not_see_each_other, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
