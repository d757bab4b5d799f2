/*
 * test_tree_long.c - keys that are longer than LMDB's: through batches, reads and cursors, against
 * a sorted array, and what is left of them.
 */
#include "long_fixture.h"

#include <time.h>

/* The first key from `at` on, upwards or downwards, that is there; NULL: none. */
static const struct key *
present(const struct key *keys, uint32_t count, int64_t at, int step)
{
    for (; at >= 0 && at < count; at += step)
        if (keys[at].value != 0)
            return &keys[at];
    return NULL;
}

/* Everything a read can be asked about these keys, which are sorted. */
static void
check(struct tx_tree_read *read, const struct key *keys, uint32_t count)
{
    struct tx_tree_cursor *c;
    struct tx_tree_pair pair, before = { 0 };
    uint64_t rows = 0;

    OK(tx_tree_cursor_open(read, 1, &c, &err));
    expect_pair(tx_tree_cursor_seek_ge(c, NULL, 0, &pair, &err), &pair, present(keys, count, 0, 1));
    expect_pair(tx_tree_cursor_seek_le(c, NULL, 0, &pair, &err), &pair,
                present(keys, count, (int64_t)count - 1, -1));
    for (uint32_t i = 0; i < count; i++) {
        const struct key *key = &keys[i], *up = present(keys, count, i, 1);
        const struct key *down = present(keys, count, i, -1);
        const uint8_t *v;
        uint32_t n;
        const enum txkv_rc rc = tx_tree_get(read, 1, key->data, key->bytes, &v, &n, &err);

        assert_int_equal(rc, key->value == 0 ? TXKV_NOTFOUND : TXKV_OK);
        assert_int_equal(key->value == 0 ? 0 : number(v, n), key->value);
        rows += key->value != 0;
        expect_pair(tx_tree_cursor_seek_ge(c, key->data, key->bytes, &pair, &err), &pair, up);
        if (up != NULL) {
            before = pair;
            expect_pair(tx_tree_cursor_next(c, &pair, &err), &pair,
                        present(keys, count, up - keys + 1, 1));
            expect_pair(TXKV_OK, &before, up); /* still good after one step */
        }
        expect_pair(tx_tree_cursor_seek_le(c, key->data, key->bytes, &pair, &err), &pair, down);
        if (down != NULL)
            expect_pair(tx_tree_cursor_prev(c, &pair, &err), &pair,
                        present(keys, count, down - keys - 1, -1));
        /* Forth and back. */
        if (down != NULL &&
            tx_tree_cursor_seek_le(c, key->data, key->bytes, &pair, &err) == TXKV_OK &&
            tx_tree_cursor_next(c, &pair, &err) == TXKV_OK)
            expect_pair(tx_tree_cursor_prev(c, &pair, &err), &pair, down);
    }
    assert_int_equal(tx_tree_rows(read, 1), rows);
    tx_tree_cursor_close(c);
}

/* Both ways from end to end. */
static void
check_scans(struct tx_tree_read *read, const struct key *keys, uint32_t count)
{
    for (int step = -1; step <= 1; step += 2) {
        int64_t at = step > 0 ? 0 : (int64_t)count - 1;
        struct tx_tree_cursor *c;
        struct tx_tree_pair pair;
        const struct key *key;
        enum txkv_rc rc;

        OK(tx_tree_cursor_open(read, 1, &c, &err));
        rc = step > 0 ? tx_tree_cursor_seek_ge(c, NULL, 0, &pair, &err)
                      : tx_tree_cursor_seek_le(c, NULL, 0, &pair, &err);
        do {
            key = present(keys, count, at, step);
            expect_pair(rc, &pair, key);
            if (key != NULL) {
                at = key - keys + step;
                rc = step > 0 ? tx_tree_cursor_next(c, &pair, &err)
                              : tx_tree_cursor_prev(c, &pair, &err);
            }
        } while (key != NULL);
        tx_tree_cursor_close(c);
    }
}

/* How much stands in "long", and under what the count of keys stands in "meta". */
static uint64_t
count_left(struct tx_tree *tree)
{
    uint8_t key[TX_TREE_TABLE_KEY_BYTES];
    MDB_val k = tx_tree_val(key, sizeof key), v;
    MDB_stat stat;
    MDB_txn *txn;
    uint64_t left;

    tx_tree_extra_key(key, 1);
    assert_int_equal(mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_stat(txn, tree->long_dbi, &stat), 0);
    left = stat.ms_entries + (mdb_get(txn, tree->meta_dbi, &k, &v) == 0);
    mdb_txn_abort(txn);
    return left;
}

/* ---- tests ---- */

/* Lengths around every boundary, each a prefix of all longer ones, and neighbours of each. */
static uint32_t
boundary_keys(struct key *keys)
{
    static const uint32_t lengths[] = { 1,
                                        ENTRY - 1,
                                        ENTRY,
                                        ENTRY + 1,
                                        ENTRY + CHUNK - 1,
                                        ENTRY + CHUNK,
                                        ENTRY + CHUNK + 1,
                                        ENTRY + 2 * CHUNK,
                                        ENTRY + 3 * CHUNK - 1,
                                        ENTRY + 3 * CHUNK,
                                        65536,
                                        65537 };
    uint32_t count = 0;

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        keys[count++] = make_key(NULL, lengths[i], lengths[i], 'k');
        keys[count++] = make_key(NULL, lengths[i] - 1, lengths[i], 'a');
        keys[count++] = make_key(NULL, lengths[i] - 1, lengths[i], 0xff);
        keys[count++] = make_key(NULL, lengths[i], lengths[i] + 1, 0);
        keys[count++] = make_key(NULL, lengths[i], lengths[i] + 3 * CHUNK, 'x');
    }
    return tidy(keys, count);
}

static void
keys_that_begin_each_other_are_all_found_in_order(void **state)
{
    static struct key keys[100];
    const uint32_t count = boundary_keys(keys);
    struct tx_tree *tree = open_tree(64 * MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch;

    (void)state;
    write_all(tree, keys, count, 8, 1);
    (void)begin(read);
    check(read, keys, count);
    check_scans(read, keys, count);
    tx_tree_read_end(read);
    batch = begin_batch(tree);
    for (uint32_t i = 0; i < count; i += 2)
        write_key(batch, &keys[i], i % 4 == 0 ? 0 : 1000 + i);
    OK(commit(batch, 16));
    (void)begin(read);
    check(read, keys, count);
    check_scans(read, keys, count);
    tx_tree_read_end(read);
    write_all(tree, keys, count, 24, 0);
    (void)begin(read);
    check(read, keys, count);
    tx_tree_read_free(read);
    assert_int_equal(count_left(tree), 0);
    free_keys(keys, count);
    tx_tree_close(tree);
}

static void
the_longest_keys_are_kept_apart_by_their_last_byte(void **state)
{
    struct key keys[3] = { make_key(NULL, MAX - 1, MAX, 'a'), make_key(NULL, MAX, MAX, 0),
                           make_key(NULL, MAX - 1, MAX - 1, 0) };
    const uint32_t count = tidy(keys, 3);
    struct tx_tree *tree = open_tree(64 * MIB);
    struct tx_tree_read *read = new_read(tree);

    (void)state;
    write_all(tree, keys, count, 8, 1);
    (void)begin(read);
    check(read, keys, count);
    check_scans(read, keys, count);
    tx_tree_read_end(read);
    write_all(tree, keys, count, 16, 0);
    assert_int_equal(count_left(tree), 0);
    tx_tree_read_free(read);
    free_keys(keys, count);
    tx_tree_close(tree);
}

/* A key that shares the start of one before it, cut or continued near a boundary. */
static struct key
random_key(const struct key *keys, uint32_t count)
{
    static const uint32_t near[] = { 8, ENTRY, ENTRY + CHUNK, ENTRY + 2 * CHUNK,
                                     ENTRY + 5 * CHUNK };
    const uint32_t bytes = near[rand() % 5] + (uint32_t)(rand() % 5) - 2 +
                           (rand() % 4 == 0 ? (uint32_t)(rand() % 600) : 0);
    const struct key *base = count == 0 ? NULL : &keys[(uint32_t)rand() % count];
    const uint32_t same = base == NULL ? 0 : (uint32_t)rand() % (base->bytes + 1);

    return make_key(base, rand() % 2 == 0 && base != NULL ? base->bytes : same, bytes,
                    rand() % 3 == 0 ? 0 : 'a' + rand() % 2);
}

/*
 * Goal: whatever is put, replaced and deleted in whatever batches, reads see what a plain array
 * holds. Method: keys made from one another, a tree for each seed, checked in full after each
 * batch.
 */
static void
random_batches_leave_what_a_sorted_array_holds(void **state)
{
    enum { SEEDS = 12, KEYS = 120, BATCHES = 12 };
    const char *given = getenv("SEED");
    const unsigned first = given != NULL ? (unsigned)atoi(given) : (unsigned)time(NULL) % 100000;

    (void)state;
    print_message("SEED=%u\n", first);
    for (unsigned seed = first; seed < first + SEEDS; seed++) {
        static struct key keys[KEYS];
        struct tx_tree *tree = open_tree(64 * MIB);
        struct tx_tree_read *read = new_read(tree);
        uint32_t count = 0, value = 0;

        srand(seed);
        for (uint32_t i = 0; i < KEYS; i++)
            keys[i] = random_key(keys, i);
        count = tidy(keys, KEYS);
        for (uint64_t b = 1; b <= BATCHES; b++) {
            struct tx_tree_batch *batch = begin_batch(tree);
            const int share = rand() % 100, puts = b % 4 == 0 ? 10 : 70;

            OK(define(batch, 1));
            for (uint32_t i = 0; i < count; i++)
                if (rand() % 100 < share)
                    write_key(batch, &keys[i], rand() % 100 < puts ? ++value : 0);
            OK(commit(batch, b * 8));
            (void)begin(read);
            check(read, keys, count);
            check_scans(read, keys, count);
            tx_tree_read_end(read);
        }
        write_all(tree, keys, count, BATCHES * 8 + 8, 0);
        assert_int_equal(count_left(tree), 0);
        tx_tree_read_free(read);
        tx_tree_close(tree);
        free_keys(keys, count);
        assert_int_equal(remove_dir(state), 0);
        assert_int_equal(make_dir(state), 0);
    }
}

static void
two_tables_with_the_same_long_keys_do_not_meet(void **state)
{
    struct key a = make_key(NULL, 3000, 3000, 'k'), b = make_key(NULL, 3000, 3001, 'k');
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch = begin_batch(tree);
    const uint8_t *v;
    uint32_t n;
    bool full;

    (void)state;
    for (uint32_t t = 1; t <= 3; t++) {
        OK(define(batch, t));
        OK(tx_tree_batch_put(batch, t, a.data, a.bytes, u8("abc") + t - 1, 1, &full, &err));
        OK(tx_tree_batch_put(batch, t, b.data, b.bytes, u8("ABC") + t - 1, 1, &full, &err));
    }
    OK(commit(batch, 8));
    batch = begin_batch(tree);
    OK(tx_tree_batch_delete(batch, 2, a.data, a.bytes, &full, &err));
    OK(commit(batch, 16));
    (void)begin(read);
    for (uint32_t t = 1; t <= 3; t++) {
        assert_int_equal(tx_tree_get(read, t, a.data, a.bytes, &v, &n, &err),
                         t == 2 ? TXKV_NOTFOUND : TXKV_OK);
        assert_true(t == 2 || *v == u8("abc")[t - 1]);
        OK(tx_tree_get(read, t, b.data, b.bytes, &v, &n, &err));
        assert_int_equal(*v, u8("ABC")[t - 1]);
        assert_int_equal(tx_tree_rows(read, t), t == 2 ? 1 : 2);
    }
    tx_tree_read_free(read);
    tx_tree_close(tree);
    free(a.data);
    free(b.data);
}

/* A large value moves once when its key gets company. */
static void
values_of_any_size_stand_behind_long_keys(void **state)
{
    static uint8_t large[2 * MIB];
    struct key a = make_key(NULL, 5000, 5000, 'k'), b = make_key(NULL, 4900, 5000, 'x');
    struct tx_tree *tree = open_tree(32 * MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_batch *batch = begin_batch(tree);
    const uint8_t *v;
    uint32_t n;
    bool full;

    (void)state;
    memset(large, 0xa5, sizeof large);
    OK(define(batch, 1));
    OK(tx_tree_batch_put(batch, 1, a.data, a.bytes, large, sizeof large, &full, &err));
    OK(tx_tree_batch_put(batch, 1, b.data, b.bytes, u8(""), 0, &full, &err));
    OK(commit(batch, 8));
    (void)begin(read);
    OK(tx_tree_get(read, 1, a.data, a.bytes, &v, &n, &err));
    assert_int_equal(n, sizeof large);
    assert_memory_equal(v, large, n);
    OK(tx_tree_get(read, 1, b.data, b.bytes, &v, &n, &err));
    assert_int_equal(n, 0);
    assert_non_null(v);
    tx_tree_read_free(read);
    tx_tree_close(tree);
    free(a.data);
    free(b.data);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(keys_that_begin_each_other_are_all_found_in_order),
        TEST(the_longest_keys_are_kept_apart_by_their_last_byte),
        TEST(random_batches_leave_what_a_sorted_array_holds),
        TEST(two_tables_with_the_same_long_keys_do_not_meet),
        TEST(values_of_any_size_stand_behind_long_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
