/*
 * test_memtable.c - entering versions, finding them, pinning segments, memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "../../src/memtable.h"

enum { KEYS = 5000 };

static uint64_t numbers[KEYS];

static struct tx_key
key_of(uint64_t i)
{
    numbers[i] = i * 0x9e3779b97f4a7c15u;
    return (struct tx_key){ (const uint8_t *)&numbers[i], sizeof(numbers[i]), 1 };
}

static int
set_up(void **state)
{
    struct tx_memtable *memtable;

    if (tx_memtable_create(100, true, &memtable, NULL) != TXKV_OK)
        return -1;
    *state = memtable;
    return 0;
}

static int
tear_down(void **state)
{
    tx_memtable_free(*state);
    return 0;
}

static const struct tx_version *
find(struct tx_memtable *memtable, const struct tx_key *key, uint64_t snap)
{
    struct tx_node *node = tx_memtable_get(memtable, key, tx_key_hash(key));

    return node == NULL ? NULL : tx_node_visible(node, 0, snap);
}

static void
a_version_is_found_by_key_and_by_order(void **state)
{
    struct tx_memtable *memtable = *state;
    const struct tx_node *node, *next;

    for (uint64_t i = 0; i < KEYS; i++) {
        const struct tx_key key = key_of(i);

        assert_null(find(memtable, &key, UINT64_MAX));
        assert_int_equal(
            tx_memtable_insert(memtable, &key, tx_key_hash(&key), 100 + i, key.data, 8), TXKV_OK);
        assert_ptr_equal(find(memtable, &key, UINT64_MAX)->value, key.data);
        assert_null(find(memtable, &key, 100 + i));
    }
    assert_int_equal(memtable->keys, KEYS);
    for (node = tx_skiplist_first(&memtable->linked); node != NULL; node = next) {
        next = tx_node_next(node);
        assert_ptr_equal(tx_memtable_get(memtable, &node->key, tx_key_hash(&node->key)), node);
        assert_true(next == NULL || tx_key_compare(&node->key, &next->key) < 0);
    }
}

static void
a_newer_version_hides_the_older_from_newer_snapshots_only(void **state)
{
    struct tx_memtable *memtable = *state;
    const struct tx_key key = key_of(1);

    assert_int_equal(tx_memtable_insert(memtable, &key, tx_key_hash(&key), 100, key.data, 8),
                     TXKV_OK);
    assert_int_equal(tx_memtable_insert(memtable, &key, tx_key_hash(&key), 200, NULL, 0), TXKV_OK);
    assert_ptr_equal(find(memtable, &key, 200)->value, key.data);
    assert_null(find(memtable, &key, 201)->value);
    assert_int_equal(memtable->keys, 1);
}

static void
of_two_versions_with_one_lsn_the_later_wins(void **state)
{
    struct tx_memtable *memtable = *state;
    const struct tx_key key = key_of(1);

    assert_int_equal(tx_memtable_insert(memtable, &key, tx_key_hash(&key), 100, NULL, 0), TXKV_OK);
    assert_int_equal(tx_memtable_insert(memtable, &key, tx_key_hash(&key), 100, key.data, 8),
                     TXKV_OK);
    assert_ptr_equal(find(memtable, &key, 101)->value, key.data);
}

/* Goal: after TXKV_NOMEM neither the index nor the list has the version. */
static void
an_insert_that_runs_out_of_memory_leaves_nothing(void **state)
{
    struct tx_memtable *memtable = *state;
    uint64_t entered = 0;

    for (uint64_t i = 0; i < KEYS; i++) {
        const struct tx_key key = key_of(i);
        bool ok;

        tx_mem_fail_at(i % 8 != 0, true);
        ok = tx_memtable_insert(memtable, &key, tx_key_hash(&key), 100 + i, key.data, 8) == TXKV_OK;
        tx_mem_fail_at(0, false);
        entered += ok;
        assert_int_equal(find(memtable, &key, UINT64_MAX) != NULL, ok);
        assert_int_equal(tx_skiplist_find(&memtable->linked, &key) != NULL, ok);
    }
    assert_int_equal(memtable->keys, entered);
    assert_true(entered < KEYS);
}

static void
each_pinned_segment_is_held_until_the_memtable_goes(void **state)
{
    struct tx_segment segments[20];
    struct tx_memtable *memtable;

    (void)state;
    memset(segments, 0, sizeof(segments));
    assert_int_equal(tx_memtable_create(0, true, &memtable, NULL), TXKV_OK);
    for (int i = 0; i < 20; i++) {
        segments[i].refs = 1;
        assert_int_equal(tx_memtable_pin_segment(memtable, &segments[i]), TXKV_OK);
        assert_int_equal(tx_memtable_pin_segment(memtable, &segments[i]), TXKV_OK);
        assert_int_equal(segments[i].refs, 2);
    }
    tx_memtable_free(memtable);
    for (int i = 0; i < 20; i++)
        assert_int_equal(segments[i].refs, 1);
}

static void
a_segment_that_cannot_be_noted_is_not_held(void **state)
{
    struct tx_segment segment = { .refs = 1 };

    tx_mem_fail_at(1, true);
    assert_int_equal(tx_memtable_pin_segment(*state, &segment), TXKV_NOMEM);
    tx_mem_fail_at(0, false);
    assert_int_equal(segment.refs, 1);
}

static void
a_small_memtable_needs_less_than_64_kib(void **state)
{
    struct tx_memtable *memtable = *state;

    assert_true(tx_memtable_bytes(memtable) < 8192);
    for (uint64_t i = 0; i < 100; i++) {
        const struct tx_key key = key_of(i);

        assert_int_equal(tx_memtable_insert(memtable, &key, tx_key_hash(&key), 100, key.data, 8),
                         TXKV_OK);
    }
    assert_true(tx_memtable_bytes(memtable) < 65536);
}

static void
create_frees_everything_when_memory_runs_out_at_any_point(void **state)
{
    const uint64_t live = tx_mem_live();
    struct tx_memtable *memtable = NULL;

    (void)state;
    for (uint64_t n = 1; memtable == NULL; n++) {
        struct txkv_error err = { .rc = TXKV_OK };

        tx_mem_fail_at(n, true);
        if (tx_memtable_create(0, true, &memtable, &err) != TXKV_OK) {
            assert_int_equal(err.rc, TXKV_NOMEM);
            assert_null(memtable);
            assert_int_equal(tx_mem_live(), live);
        }
        tx_mem_fail_at(0, false);
    }
    tx_memtable_free(memtable);
    assert_int_equal(tx_mem_live(), live);
}

#define WITH_MEMTABLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MEMTABLE(a_version_is_found_by_key_and_by_order),
        WITH_MEMTABLE(a_newer_version_hides_the_older_from_newer_snapshots_only),
        WITH_MEMTABLE(of_two_versions_with_one_lsn_the_later_wins),
        WITH_MEMTABLE(an_insert_that_runs_out_of_memory_leaves_nothing),
        cmocka_unit_test(each_pinned_segment_is_held_until_the_memtable_goes),
        WITH_MEMTABLE(a_segment_that_cannot_be_noted_is_not_held),
        WITH_MEMTABLE(a_small_memtable_needs_less_than_64_kib),
        cmocka_unit_test(create_frees_everything_when_memory_runs_out_at_any_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
