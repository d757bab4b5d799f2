/*
 * test_order.c - keys that were entered out of order, and are put in order when a scan comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "../../src/order.h"

enum { KEYS = 10000, SCANNERS = 3, ROUNDS = 24, GROUP_MAX = 64 };

/* One memtable in an overlay of its own. The i-th key has LSN i. */
struct overlay {
    struct tx_core core;
    struct tx_memtable *memtable;
    uint64_t keys[KEYS];
    uint64_t published; /* atomic: LSNs below it */
};

static struct overlay overlay;

static void
set_up(uint64_t seed, bool links)
{
    memset(&overlay, 0, sizeof(overlay));
    (void)pthread_mutex_init(&overlay.core.overlay_mutex, NULL);
    (void)pthread_mutex_init(&overlay.core.order_mutex, NULL);
    assert_int_equal(tx_memtable_create(0, links, &overlay.memtable, NULL), TXKV_OK);
    assert_int_equal(tx_views_init(&overlay.core.views, overlay.memtable, 0), TXKV_OK);
    for (uint64_t i = 0; i < KEYS; i++)
        overlay.keys[i] = (i + seed * KEYS) * 0x9e3779b97f4a7c15u;
}

static void
tear_down(void)
{
    tx_views_destroy(&overlay.core.views);
    (void)pthread_mutex_destroy(&overlay.core.order_mutex);
    (void)pthread_mutex_destroy(&overlay.core.overlay_mutex);
}

/* Enter the keys [from, to) as a leader does, and publish them; large: as one large transaction. */
static bool
enter_group(uint64_t from, uint64_t to, bool large)
{
    bool ok = true;

    (void)pthread_mutex_lock(&overlay.core.overlay_mutex);
    overlay.memtable->keeps = large;
    for (uint64_t i = from; i < to; i++) {
        const struct tx_key key = { (const uint8_t *)&overlay.keys[i], 8, 1 };

        ok &= tx_memtable_insert(overlay.memtable, &key, tx_key_hash(&key), i, key.data, 8) ==
              TXKV_OK;
    }
    overlay.memtable->keeps = false;
    (void)pthread_mutex_unlock(&overlay.core.overlay_mutex);
    tx_store_release_64(&overlay.published, to);
    return ok;
}

static bool
enter(uint64_t from, uint64_t to)
{
    return enter_group(from, to, false);
}

/* Nodes that a snapshot sees, or UINT64_MAX when they are not in order. */
static uint64_t
count_up(const struct tx_skiplist *list, uint64_t snap)
{
    const struct tx_node *before = NULL;
    uint64_t count = 0;

    for (const struct tx_node *node = tx_skiplist_first(list); node != NULL;
         node = tx_node_next(node)) {
        if (before != NULL && tx_key_compare(&before->key, &node->key) >= 0)
            return UINT64_MAX;
        count += tx_node_visible(node, 0, snap) != NULL;
        before = node;
    }
    return count;
}

static uint64_t
count_down(const struct tx_skiplist *list, uint64_t snap)
{
    const struct tx_key end = { (const uint8_t *)"", 0, 2 };
    const struct tx_node *before = NULL;
    uint64_t count = 0;

    for (const struct tx_node *node = tx_skiplist_last_le(list, &end); node != NULL;
         node = tx_node_prev(list, node)) {
        if (before != NULL && tx_key_compare(&before->key, &node->key) <= 0)
            return UINT64_MAX;
        count += tx_node_visible(node, 0, snap) != NULL;
        before = node;
    }
    return count;
}

static void
nothing_is_put_in_order_before_a_scan_and_everything_from_then_on(void **state)
{
    const struct tx_skiplist *list;

    (void)state;
    set_up(1, false);
    assert_true(enter(0, KEYS / 2));
    assert_null(tx_skiplist_first(&overlay.memtable->linked));
    assert_int_equal(overlay.memtable->keys, KEYS / 2);
    list = tx_order_for_scan(&overlay.core, overlay.memtable);
    assert_int_equal(count_up(list, UINT64_MAX), KEYS / 2);
    assert_true(enter(KEYS / 2, KEYS));
    assert_int_equal(count_up(list, UINT64_MAX), KEYS);
    assert_int_equal(count_down(list, UINT64_MAX), KEYS);
    assert_int_equal(count_down(list, KEYS / 3), KEYS / 3);
    tear_down();
}

/* As the memtable is that comes after one that was scanned. */
static void
a_memtable_that_links_needs_no_scan(void **state)
{
    (void)state;
    set_up(2, true);
    assert_true(enter(0, KEYS));
    assert_int_equal(count_up(&overlay.memtable->linked, UINT64_MAX), KEYS);
    assert_int_equal(overlay.memtable->has_loose, 0);
    tear_down();
}

static void
a_large_transaction_waits_for_the_next_scan_also_where_one_has_been(void **state)
{
    const struct tx_skiplist *list;

    (void)state;
    set_up(5, false);
    assert_true(enter(0, KEYS / 4));
    list = tx_order_for_scan(&overlay.core, overlay.memtable);
    assert_true(enter_group(KEYS / 4, KEYS / 2, true));
    assert_int_equal(count_up(list, UINT64_MAX), KEYS / 4);
    assert_true(enter(KEYS / 2, KEYS));
    assert_int_equal(count_up(list, UINT64_MAX), KEYS / 4 + KEYS / 2);
    assert_ptr_equal(tx_order_for_scan(&overlay.core, overlay.memtable), list);
    assert_int_equal(count_up(list, UINT64_MAX), KEYS);
    assert_int_equal(count_down(list, UINT64_MAX), KEYS);
    assert_int_equal(overlay.memtable->has_loose, 0);
    tear_down();
}

/* Nodes that a walk comes to, or UINT64_MAX when they are not in order. */
static uint64_t
walk(bool *linked)
{
    const struct tx_node *before = NULL, *node;
    struct tx_order_walk walk;
    uint64_t count = 0;
    bool ok = true;

    tx_order_walk_begin(&overlay.core, overlay.memtable, &walk);
    *linked = tx_skiplist_first(&overlay.memtable->linked) != NULL;
    while ((node = tx_order_walk_node(&walk)) != NULL) {
        ok &= before == NULL || tx_key_compare(&before->key, &node->key) < 0;
        count++;
        before = node;
        tx_order_walk_step(&walk);
    }
    tx_order_walk_rewind(&walk);
    ok &= count == 0 || tx_order_walk_node(&walk) != NULL;
    tx_order_walk_end(&walk);
    return ok ? count : UINT64_MAX;
}

static void
a_walk_links_nothing_and_leaves_no_word_that_there_was_a_scan(void **state)
{
    bool linked;

    (void)state;
    set_up(3, false);
    assert_int_equal(walk(&linked), 0);
    assert_true(enter(0, KEYS));
    assert_int_equal(walk(&linked), KEYS);
    assert_false(linked);
    assert_int_equal(overlay.memtable->scanned, 0);
    assert_int_equal(count_up(tx_order_for_scan(&overlay.core, overlay.memtable), UINT64_MAX),
                     KEYS);
    assert_int_equal(overlay.memtable->scanned, 1);
    assert_int_equal(walk(&linked), KEYS);
    tear_down();
}

/* As a scan leaves them that has begun, and has not come to linking yet. */
static void
a_walk_comes_to_linked_and_to_loose_nodes(void **state)
{
    bool linked;

    (void)state;
    set_up(6, false);
    assert_true(enter(0, KEYS / 2));
    overlay.memtable->scanned = 1;
    assert_true(enter(KEYS / 2, KEYS));
    assert_int_equal(walk(&linked), KEYS);
    tear_down();
}

static void
a_walk_without_memory_to_sort_links_all(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 4; n++) {
        const uint64_t live = tx_mem_live();
        bool linked;

        set_up(4, false);
        assert_true(enter(0, KEYS));
        tx_mem_fail_at(n, n % 2 == 0);
        assert_int_equal(walk(&linked), KEYS);
        tx_mem_fail_at(0, false);
        assert_int_equal(linked, n <= 2);
        tear_down();
        assert_int_equal(tx_mem_live(), live);
    }
}

static void
without_memory_to_sort_all_is_linked_one_by_one(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 3; n++) {
        const struct tx_skiplist *list;
        const uint64_t live = tx_mem_live();

        set_up(4, false);
        assert_true(enter(0, KEYS));
        tx_mem_fail_at(n, true);
        list = tx_order_for_scan(&overlay.core, overlay.memtable);
        tx_mem_fail_at(0, false);
        assert_int_equal(count_up(list, UINT64_MAX), KEYS);
        assert_int_equal(count_down(list, UINT64_MAX), KEYS);
        tear_down();
        assert_int_equal(tx_mem_live(), live);
    }
}

/* ---- scans beside a writer ---- */

struct scanner {
    pthread_t thread;
    uint64_t begin_at; /* with the first scan, until so much is published */
    uint64_t wrong;    /* scans that did not see what they should have */
};

static void *
scan(void *arg)
{
    struct scanner *scanner = arg;
    uint64_t published = 0;

    while (published < KEYS) {
        const struct tx_skiplist *list;

        published = tx_load_acquire_64(&overlay.published);
        if (published < scanner->begin_at)
            continue;
        list = tx_order_for_scan(&overlay.core, overlay.memtable);
        scanner->wrong += count_up(list, published) != published;
        scanner->wrong += count_down(list, published) != published;
    }
    return NULL;
}

/*
 * Goal: a scan finds every key of its snapshot in order, whenever it comes, while the writer goes
 * on, large transactions of it too, and other scans put the same keys in order [M16].
 * Method: each round begins with an unscanned memtable; scanners come at different times, some at
 * the same, and count.
 */
static void
scans_beside_the_writer_find_all_that_was_published(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct scanner scanners[SCANNERS] = { 0 };
        uint64_t random = round + 1;
        bool ok = true;

        set_up(round, false);
        for (uint64_t i = 0; i < SCANNERS; i++) {
            scanners[i].begin_at = round % 3 == 0 ? KEYS / 2 : (round * i * 977) % KEYS;
            assert_int_equal(pthread_create(&scanners[i].thread, NULL, scan, &scanners[i]), 0);
        }
        for (uint64_t at = 0, to; at < KEYS; at = to) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            to = tx_min_u64(KEYS, at + 1 + (random >> 33) % GROUP_MAX);
            ok &= enter_group(at, to, random >> 63 == 0);
        }
        for (uint64_t i = 0; i < SCANNERS; i++)
            (void)pthread_join(scanners[i].thread, NULL);
        assert_true(ok);
        for (uint64_t i = 0; i < SCANNERS; i++)
            assert_int_equal(scanners[i].wrong, 0);
        tear_down();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_put_in_order_before_a_scan_and_everything_from_then_on),
        cmocka_unit_test(a_memtable_that_links_needs_no_scan),
        cmocka_unit_test(a_large_transaction_waits_for_the_next_scan_also_where_one_has_been),
        cmocka_unit_test(a_walk_links_nothing_and_leaves_no_word_that_there_was_a_scan),
        cmocka_unit_test(a_walk_comes_to_linked_and_to_loose_nodes),
        cmocka_unit_test(a_walk_without_memory_to_sort_links_all),
        cmocka_unit_test(without_memory_to_sort_all_is_linked_one_by_one),
        cmocka_unit_test(scans_beside_the_writer_find_all_that_was_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
