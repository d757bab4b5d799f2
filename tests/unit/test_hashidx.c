/*
 * test_hashidx.c - the hash index: lookups, collisions, growth, memory, and one writer with
 * readers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/hashidx.h"

enum { KEYS = 50000, READERS = 2 };

static uint64_t numbers[2 * KEYS]; /* the keys' bytes */
static struct tx_arena arena;
static struct tx_skiplist list;
static struct tx_hashidx *hash_index;
static uint64_t published, faults; /* atomic */

static struct tx_key
key_of(uint64_t i)
{
    return (struct tx_key){ (const uint8_t *)&numbers[i], sizeof(numbers[i]), 3 };
}

static struct tx_node *
make_node(const struct tx_key *key)
{
    const struct tx_version version = { .lsn = 1, .value = key->data };

    return tx_skiplist_make(&list, key, &version);
}

static int
set_up(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 2 * KEYS; i++)
        numbers[i] = i * 0x9e3779b97f4a7c15u;
    tx_arena_init(&arena);
    if (tx_skiplist_init(&list, &arena, 1) != TXKV_OK)
        return -1;
    hash_index = tx_hashidx_create(&arena);
    return hash_index == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
    (void)state;
    tx_arena_free(&arena);
    return 0;
}

static void
room_that_is_there_is_not_made_again(void **state)
{
    uint64_t bytes;

    (void)state;
    tx_hashidx_reserve(hash_index, KEYS);
    for (uint64_t i = 0; i < KEYS / 2; i++) {
        const struct tx_key key = key_of(i);
        struct tx_node *node = make_node(&key);

        assert_int_equal(tx_hashidx_put(hash_index, node, tx_key_hash(&key)), TXKV_OK);
    }
    bytes = arena.bytes;
    for (uint32_t i = 0; i < 1000; i++)
        tx_hashidx_reserve(hash_index, KEYS / 2);
    assert_int_equal(arena.bytes, bytes);
}

static void
every_key_put_is_found_and_no_other(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 2 * KEYS; i++) {
        const struct tx_key key = key_of(i);
        const uint64_t hash = tx_key_hash(&key);
        struct tx_node *node;

        assert_null(tx_hashidx_get(hash_index, &key, hash));
        if (i % 2 == 0)
            continue;
        node = make_node(&key);
        assert_non_null(node);
        assert_int_equal(tx_hashidx_put(hash_index, node, hash), TXKV_OK);
        assert_ptr_equal(tx_hashidx_get(hash_index, &key, hash), node);
    }
    for (uint64_t i = 0; i < 2 * KEYS; i++) {
        const struct tx_key key = key_of(i);
        const struct tx_node *node = tx_hashidx_get(hash_index, &key, tx_key_hash(&key));

        assert_int_equal(node != NULL, i % 2);
        if (node != NULL)
            assert_ptr_equal(node->key.data, key.data);
    }
}

/* Keys differ in table, length or last byte only, and are given hashes that are partly or wholly
 * the same. */
static void
keys_with_equal_hashes_are_told_apart(void **state)
{
    static const uint8_t bytes[40] = { 1 }, other[40] = { 1, [39] = 1 };
    static const uint64_t hashes[] = { 0, UINT64_MAX, (uint64_t)5 << 32, 5, (uint64_t)1 << 63 };
    struct tx_key set[] = {
        { bytes, 40, 1 }, { bytes, 40, 2 }, { bytes, 39, 1 }, { bytes, 1, 1 },
        { bytes, 2, 1 },  { bytes, 16, 1 }, { other, 40, 1 }, { bytes, 0, 1 },
    };
    struct tx_node *nodes[8];

    (void)state;
    for (size_t h = 0; h < sizeof(hashes) / sizeof(hashes[0]); h++) {
        for (int i = 0; i < 8; i++) {
            set[i].table += 100; /* a key has one hash */
            assert_null(tx_hashidx_get(hash_index, &set[i], hashes[h]));
            nodes[i] = make_node(&set[i]);
            assert_non_null(nodes[i]);
            assert_int_equal(tx_hashidx_put(hash_index, nodes[i], hashes[h]), TXKV_OK);
        }
        for (int i = 0; i < 8; i++)
            assert_ptr_equal(tx_hashidx_get(hash_index, &set[i], hashes[h]), nodes[i]);
    }
}

static void
the_hash_depends_on_the_table(void **state)
{
    const struct tx_key a = { (const uint8_t *)"k", 1, 1 }, b = { (const uint8_t *)"k", 1, 2 };

    (void)state;
    assert_true(tx_key_hash(&a) != tx_key_hash(&b));
}

/* Goal: a put that fails adds nothing, and one that succeeds is never lost by a failed growth. */
static void
running_out_of_memory_loses_no_key(void **state)
{
    bool *there = calloc(KEYS, sizeof(*there));
    uint64_t failed = 0, wrong = 0;

    (void)state;
    assert_non_null(there);
    for (uint64_t i = 0; i < KEYS; i++) {
        const struct tx_key key = key_of(i);
        struct tx_node *node = make_node(&key);

        assert_non_null(node);
        tx_mem_fail_at(i % 100 < 90, true);
        there[i] = tx_hashidx_put(hash_index, node, tx_key_hash(&key)) == TXKV_OK;
        tx_mem_fail_at(0, false);
        failed += !there[i];
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        const struct tx_key key = key_of(i);

        wrong += (tx_hashidx_get(hash_index, &key, tx_key_hash(&key)) != NULL) != there[i];
    }
    free(there);
    assert_int_equal(wrong, 0);
    assert_true(failed < KEYS / 2);
}

static void
creating_an_index_without_memory_is_null(void **state)
{
    struct tx_arena empty;

    (void)state;
    tx_arena_init(&empty);
    tx_mem_fail_at(1, true);
    assert_null(tx_hashidx_create(&empty));
    tx_mem_fail_at(0, false);
}

static void *
look_up(void *arg)
{
    uint64_t random = (uint64_t)(uintptr_t)arg | 1, missing = 0, limit;

    do {
        struct tx_key key;
        const struct tx_node *node;

        random = random * 6364136223846793005u + 1442695040888963407u;
        limit = tx_load_acquire_64(&published);
        if (limit == 0)
            continue;
        key = key_of(random % 4 == 0 ? limit - 1 : (random >> 20) % limit);
        node = tx_hashidx_get(hash_index, &key, tx_key_hash(&key));
        missing += node == NULL || node->first.value != key.data;

        /* One that is being put right now may be there or not, but never in part. */
        key = key_of(limit);
        node = tx_hashidx_get(hash_index, &key, tx_key_hash(&key));
        missing += node != NULL && node->first.value != key.data;
    } while (limit < KEYS);
    (void)tx_fetch_add_64(&faults, missing);
    return NULL;
}

/*
 * Goal: what was put before a get began is found by it, while tables grow.
 * Method: the writer puts keys and publishes their number; readers look up published keys, the
 * newest among them.
 */
static void
readers_find_every_published_key_while_the_index_grows(void **state)
{
    pthread_t threads[READERS];
    uint64_t put = 0;

    (void)state;
    for (uintptr_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_up, (void *)(i + 1)), 0);
    for (uint64_t i = 0; i < KEYS; i++) {
        const struct tx_key key = key_of(i);
        struct tx_node *node = make_node(&key);

        put += node != NULL && tx_hashidx_put(hash_index, node, tx_key_hash(&key)) == TXKV_OK;
        tx_store_release_64(&published, i + 1);
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(put, KEYS);
    assert_int_equal(faults, 0);
}

/* Keys of three bytes in table 1 against their neighbours in the next tables. */
static void
short_keys_of_different_tables_have_different_hashes(void **state)
{
    static uint64_t hashes[1 << 16];
    uint32_t equal = 0;

    (void)state;
    for (uint32_t t = 1; t <= 4; t++) {
        for (uint32_t i = 0; i < 1 << 16; i++) {
            const uint8_t data[3] = { 1, (uint8_t)(i >> 8), (uint8_t)i };
            const struct tx_key key = { data, sizeof data, t };

            if (t == 1)
                hashes[i] = tx_key_hash(&key);
            else
                for (uint32_t bits = 0; bits < 8; bits++) /* the same key, and its neighbours */
                    equal += hashes[i ^ bits] == tx_key_hash(&key);
        }
    }
    assert_int_equal(equal, 0);
}

#define WITH_INDEX(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_INDEX(room_that_is_there_is_not_made_again),
        WITH_INDEX(every_key_put_is_found_and_no_other),
        WITH_INDEX(keys_with_equal_hashes_are_told_apart),
        WITH_INDEX(the_hash_depends_on_the_table),
        cmocka_unit_test(short_keys_of_different_tables_have_different_hashes),
        WITH_INDEX(running_out_of_memory_loses_no_key),
        WITH_INDEX(creating_an_index_without_memory_is_null),
        WITH_INDEX(readers_find_every_published_key_while_the_index_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
