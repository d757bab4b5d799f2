/*
 * test_skiplist.c - the ordered map: order, searches, versions, and one writer with readers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/skiplist.h"

enum { KEYS = 3000, KEY_ROOM = 24, READERS = 2, STRESS_KEYS = 60000 };

struct fixture {
    struct tx_arena arena;
    struct tx_skiplist list;
};

static uint8_t key_bytes[KEYS][KEY_ROOM];
static struct tx_key keys[KEYS];
static uint64_t random_state = 42;

static uint64_t
random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void
set_up(struct fixture *f)
{
    tx_arena_init(&f->arena);
    assert_int_equal(tx_skiplist_init(&f->list, &f->arena, 1), TXKV_OK);
}

/* The order as the contract says it, byte by byte. */
static int
reference_order(const void *a, const void *b)
{
    const struct tx_key *x = a, *y = b;

    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    for (uint32_t i = 0; i < x->bytes && i < y->bytes; i++)
        if (x->data[i] != y->data[i])
            return x->data[i] < y->data[i] ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* Keys of 0 to 20 bytes, mostly zeros, so that they differ in what the prefix cannot show; sorted,
 * without duplicates. Returns how many. */
static uint32_t
make_keys(void)
{
    uint32_t kept = 1;

    for (uint32_t i = 0; i < KEYS; i++) {
        const uint32_t bytes = (uint32_t)(random_number() % 21);

        for (uint32_t b = 0; b < bytes; b++) {
            const uint64_t r = random_number() % 12;

            key_bytes[i][b] = r == 0 ? 1 : r == 1 ? 255 : 0;
        }
        keys[i] = (struct tx_key){ key_bytes[i], bytes, (uint32_t)(random_number() % 3) };
    }
    qsort(keys, KEYS, sizeof(keys[0]), reference_order);
    for (uint32_t i = 1; i < KEYS; i++)
        if (reference_order(&keys[i], &keys[kept - 1]) != 0)
            keys[kept++] = keys[i];
    return kept;
}

static void
insert_new(struct tx_skiplist *list, const struct tx_key *key)
{
    const struct tx_version version = { .lsn = 1 };
    bool made;

    assert_non_null(tx_skiplist_insert(list, key, &version, &made));
    assert_true(made);
}

/* Every second key of the sorted `count`, starting with the second, must be in the list. */
static void
check_against_sorted_keys(const struct tx_skiplist *list, uint32_t count)
{
    struct tx_node *node = tx_skiplist_first(list), *last = NULL;

    for (uint32_t i = 1; i < count; i += 2) {
        assert_non_null(node);
        assert_int_equal(reference_order(&node->key, &keys[i]), 0);
        assert_ptr_equal(tx_node_prev(list, node), last);
        last = node;
        node = tx_node_next(node);
    }
    assert_null(node);
    assert_ptr_equal(list->tail, last);
    for (uint32_t i = 0; i < count; i++) {
        const bool present = i % 2 == 1;
        const struct tx_node *found = tx_skiplist_find(list, &keys[i]);
        const struct tx_node *ge = tx_skiplist_first_ge(list, &keys[i]);
        const struct tx_node *le = tx_skiplist_last_le(list, &keys[i]);

        assert_int_equal(found != NULL, present);
        assert_int_equal(ge != NULL, present || i + 1 < count);
        assert_int_equal(le != NULL, present || i > 0);
        if (ge != NULL)
            assert_int_equal(reference_order(&ge->key, &keys[present ? i : i + 1]), 0);
        if (le != NULL)
            assert_int_equal(reference_order(&le->key, &keys[present ? i : i - 1]), 0);
    }
}

static void
compare_agrees_with_the_contract_for_every_pair(void **state)
{
    const uint32_t count = make_keys();

    (void)state;
    for (uint32_t i = 0; i < count; i += 7)
        for (uint32_t j = 0; j < count; j += 3)
            assert_int_equal(tx_key_compare(&keys[i], &keys[j]) < 0, i < j);
}

/* Goal: the same list comes out whatever the order of inserts, so the finger never misleads. */
static void
any_order_of_inserts_gives_the_same_list(void **state)
{
    enum { ASCENDING, DESCENDING, RANDOM, RUNS, ORDERS };

    (void)state;
    for (int order = 0; order < ORDERS; order++) {
        const uint32_t count = make_keys(), half = count / 2;
        uint32_t *at = malloc(half * sizeof(*at));
        struct fixture f;

        assert_non_null(at);
        set_up(&f);
        for (uint32_t i = 0; i < half; i++)
            at[i] = order == DESCENDING ? half - 1 - i : i;
        if (order == RUNS) /* i * 64, then i * 64 + 1, and so on: runs through a filled list */
            for (uint32_t start = 0, n = 0; start < 64; start++)
                for (uint32_t i = start; i < half; i += 64)
                    at[n++] = i;
        for (uint32_t i = half - 1; order == RANDOM && i > 0; i--) {
            const uint32_t j = (uint32_t)(random_number() % (i + 1)), swap = at[i];

            at[i] = at[j];
            at[j] = swap;
        }
        for (uint32_t i = 0; i < half; i++)
            insert_new(&f.list, &keys[2 * at[i] + 1]);
        assert_int_equal(f.list.count, half);
        check_against_sorted_keys(&f.list, half * 2);
        tx_arena_free(&f.arena);
        free(at);
    }
}

static void
an_insert_of_a_present_key_returns_its_node_unchanged(void **state)
{
    const struct tx_key key = { (const uint8_t *)"same", 4, 7 };
    const struct tx_version one = { .lsn = 1 }, two = { .lsn = 2 };
    struct fixture f;
    struct tx_node *node;
    bool made;

    (void)state;
    set_up(&f);
    node = tx_skiplist_insert(&f.list, &key, &one, &made);
    assert_true(made);
    assert_ptr_equal(tx_skiplist_insert(&f.list, &key, &two, &made), node);
    assert_false(made);
    assert_int_equal(tx_node_newest(node)->lsn, 1);
    assert_int_equal(f.list.count, 1);
    tx_arena_free(&f.arena);
}

/* Else a search walks over all of them. */
static void
nodes_that_are_linked_later_have_as_many_levels(void **state)
{
    enum { NODES = 4096, LEVELS_MIN = 8 };
    static uint8_t bytes[NODES][4];
    static struct tx_node *nodes[NODES];
    const struct tx_version version = { .lsn = 8 };
    struct fixture f;

    (void)state;
    set_up(&f);
    for (uint32_t i = 0; i < NODES; i++) {
        const struct tx_key key = { bytes[i], 4, 1 };

        bytes[i][2] = (uint8_t)(i >> 8);
        bytes[i][3] = (uint8_t)i;
        nodes[i] = tx_skiplist_make(&f.list, &key, &version);
        assert_non_null(nodes[i]);
    }
    for (uint32_t i = 0; i < NODES; i++)
        tx_skiplist_link_above(&f.list, i == 0 ? NULL : nodes[i - 1], nodes[i]);
    assert_int_equal(f.list.count, NODES);
    assert_true(f.list.height >= LEVELS_MIN);
    tx_arena_free(&f.arena);
}

static void
searches_of_an_empty_list_find_nothing(void **state)
{
    const struct tx_key key = { (const uint8_t *)"k", 1, 0 }, empty = { NULL, 0, 0 };
    struct fixture f;

    (void)state;
    set_up(&f);
    assert_null(tx_skiplist_first(&f.list));
    assert_null(tx_skiplist_find(&f.list, &key));
    assert_null(tx_skiplist_first_ge(&f.list, &empty));
    assert_null(tx_skiplist_last_le(&f.list, &key));
    tx_arena_free(&f.arena);
}

/* The LSN of what a snapshot sees, 0 for nothing. */
static uint64_t
visible_lsn(const struct tx_node *node, uint64_t base, uint64_t snap)
{
    const struct tx_version *version = tx_node_visible(node, base, snap);

    return version == NULL ? 0 : version->lsn;
}

static void
visible_is_the_newest_version_inside_the_snapshot(void **state)
{
    const struct tx_key key = { (const uint8_t *)"k", 1, 0 };
    const struct tx_version first = { .lsn = 10 };
    struct tx_version second = { .lsn = 20 }, third = { .lsn = 30 };
    struct fixture f;
    struct tx_node *node;
    bool made;

    (void)state;
    set_up(&f);
    node = tx_skiplist_insert(&f.list, &key, &first, &made);
    tx_node_push(node, &second);
    tx_node_push(node, &third);
    assert_int_equal(visible_lsn(node, 0, 10), 0);
    assert_int_equal(visible_lsn(node, 0, 11), 10);
    assert_int_equal(visible_lsn(node, 0, 30), 20);
    assert_int_equal(visible_lsn(node, 20, 30), 20);
    assert_int_equal(visible_lsn(node, 21, 30), 0);
    assert_int_equal(visible_lsn(node, 30, 31), 30);
    tx_arena_free(&f.arena);
}

static void
running_out_of_memory_changes_nothing(void **state)
{
    const struct tx_version version = { .lsn = 1 };
    struct fixture f;
    uint64_t inserted = 0;
    bool made;

    (void)state;
    set_up(&f);
    (void)make_keys();
    tx_mem_fail_at(1, true);
    while (tx_skiplist_insert(&f.list, &keys[inserted * 2 + 1], &version, &made) != NULL)
        inserted++;
    assert_false(made);
    tx_mem_fail_at(0, false);
    assert_int_equal(f.list.count, inserted);
    check_against_sorted_keys(&f.list, (uint32_t)inserted * 2);
    insert_new(&f.list, &keys[inserted * 2 + 1]);
    check_against_sorted_keys(&f.list, (uint32_t)inserted * 2 + 2);
    tx_mem_fail_at(1, true);
    {
        struct tx_arena arena;
        struct tx_skiplist list;

        tx_arena_init(&arena);
        assert_int_equal(tx_skiplist_init(&list, &arena, 1), TXKV_NOMEM);
    }
    tx_mem_fail_at(0, false);
    tx_arena_free(&f.arena);
}

static struct fixture stress;
static uint64_t stress_numbers[STRESS_KEYS]; /* the keys' bytes */
static uint64_t published, damaged;          /* atomic */

static struct tx_key
stress_key(uint64_t i)
{
    return (struct tx_key){ (const uint8_t *)&stress_numbers[i], sizeof(stress_numbers[i]), 1 };
}

/* One walk over at most 2000 nodes from the node: order, and that each has its version. */
static uint64_t
count_faults(const struct tx_node *node)
{
    uint64_t faults = 0;

    for (int i = 0; node != NULL && i < 2000; i++) {
        const struct tx_node *next = tx_node_next(node);
        const struct tx_version *version = tx_node_newest(node);

        faults += version == NULL || version->lsn == 0 || version->value != node->key.data;
        faults += next != NULL && reference_order(&node->key, &next->key) >= 0;
        node = next;
    }
    return faults;
}

static uint64_t
count_faults_backwards(const struct tx_node *node)
{
    uint64_t faults = 0;

    for (int i = 0; node != NULL && i < 2000; i++) {
        const struct tx_node *prev = tx_node_prev(&stress.list, node);

        faults += prev != NULL && reference_order(&prev->key, &node->key) >= 0;
        node = prev;
    }
    return faults;
}

static void *
read_list(void *arg)
{
    uint64_t state = (uint64_t)(uintptr_t)arg | 1, faults = 0, limit;

    do {
        struct tx_key key;
        const struct tx_node *node;

        state = state * 6364136223846793005u + 1442695040888963407u;
        limit = tx_load_acquire_64(&published);
        if (limit == 0)
            continue;
        key = stress_key((state >> 20) % limit);
        node = tx_skiplist_find(&stress.list, &key);
        faults += node == NULL;
        faults += node != tx_skiplist_first_ge(&stress.list, &key);
        faults += node != tx_skiplist_last_le(&stress.list, &key);
        if ((state >> 40) % 64 == 0)
            faults += count_faults(node) + count_faults_backwards(node);
    } while (limit < STRESS_KEYS);
    (void)tx_fetch_add_64(&damaged, faults);
    return NULL;
}

/*
 * Goal: readers always see an ordered list of complete nodes, and all keys published before.
 * Method: the writer inserts random keys and publishes their number; readers look up published keys
 * and walk from them in both directions.
 */
static void
readers_see_order_and_complete_nodes_while_one_writes(void **state)
{
    pthread_t threads[READERS];
    uint64_t inserted = 0;

    (void)state;
    set_up(&stress);
    for (uint64_t i = 0; i < STRESS_KEYS; i++)
        stress_numbers[i] = random_number();
    for (uintptr_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_list, (void *)(i + 1)), 0);
    for (uint64_t i = 0; i < STRESS_KEYS; i++) {
        const struct tx_key key = stress_key(i);
        const struct tx_version version = { .lsn = i + 1, .value = key.data };
        bool made;

        inserted += tx_skiplist_insert(&stress.list, &key, &version, &made) != NULL && made;
        tx_store_release_64(&published, i + 1);
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(inserted, STRESS_KEYS);
    assert_int_equal(damaged, 0);
    tx_arena_free(&stress.arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare_agrees_with_the_contract_for_every_pair),
        cmocka_unit_test(any_order_of_inserts_gives_the_same_list),
        cmocka_unit_test(an_insert_of_a_present_key_returns_its_node_unchanged),
        cmocka_unit_test(searches_of_an_empty_list_find_nothing),
        cmocka_unit_test(nodes_that_are_linked_later_have_as_many_levels),
        cmocka_unit_test(visible_is_the_newest_version_inside_the_snapshot),
        cmocka_unit_test(running_out_of_memory_changes_nothing),
        cmocka_unit_test(readers_see_order_and_complete_nodes_while_one_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
