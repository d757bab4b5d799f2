/*
 * test_tree_long.c - keys that are longer than LMDB's: through batches, reads and cursors, against
 * a sorted array; what is left of them, what damage does, and stores of format 1.
 */
#include "tree_fixture.h"

#include <time.h>

#include "../../src/tree_long.h"

enum { ENTRY = TX_TREE_ENTRY_BYTES, CHUNK = TX_TREE_CHUNK_BYTES, MAX = TXKV_KEY_BYTES_MAX };

/* ---- keys ---- */

struct key {
    uint8_t *data;
    uint32_t bytes;
    uint32_t value; /* 0: not there */
};

static int
compare(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    const uint32_t bytes = a->bytes < b->bytes ? a->bytes : b->bytes;
    const int order = memcmp(a->data, b->data, bytes);

    if (order != 0)
        return order;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* Sort, and drop those that are there twice. */
static uint32_t
tidy(struct key *keys, uint32_t count)
{
    uint32_t kept = 0;

    qsort(keys, count, sizeof *keys, compare);
    for (uint32_t i = 0; i < count; i++) {
        if (kept > 0 && compare(&keys[kept - 1], &keys[i]) == 0)
            free(keys[i].data);
        else
            keys[kept++] = keys[i];
    }
    return kept;
}

/* As many first bytes of `base` (NULL: of 'k's), and the rest of `fill`. */
static struct key
make_key(const struct key *base, uint32_t same, uint32_t bytes, int fill)
{
    struct key key = { .data = malloc(bytes), .bytes = bytes };

    assert_non_null(key.data);
    memset(key.data, fill, bytes);
    if (base == NULL)
        memset(key.data, 'k', same < bytes ? same : bytes);
    else
        memcpy(key.data, base->data, same < bytes ? same : bytes);
    return key;
}

static void
free_keys(struct key *keys, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(keys[i].data);
}

/* ---- short forms ---- */

static void
write_key(struct tx_tree_batch *batch, struct key *key, uint32_t value)
{
    char text[16];
    bool full;

    key->value = value;
    if (value == 0) {
        OK(tx_tree_batch_delete(batch, 1, key->data, key->bytes, &full, &err));
        return;
    }
    (void)snprintf(text, sizeof text, "%u", value);
    OK(tx_tree_batch_put(batch, 1, key->data, key->bytes, u8(text), (uint32_t)strlen(text), &full,
                         &err));
}

static uint32_t
number(const uint8_t *value, uint32_t bytes)
{
    char text[16] = "";

    assert_true(bytes < sizeof text);
    memcpy(text, value, bytes);
    return (uint32_t)strtoul(text, NULL, 10);
}

static void
expect_pair(enum txkv_rc rc, const struct tx_tree_pair *pair, const struct key *key)
{
    if (key == NULL) {
        assert_int_equal(rc, TXKV_NOTFOUND);
        return;
    }
    OK(rc);
    assert_int_equal(pair->key_bytes, key->bytes);
    assert_memory_equal(pair->key, key->data, key->bytes);
    assert_int_equal(number(pair->value, pair->value_bytes), key->value);
}

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

static void
write_all(struct tx_tree *tree, struct key *keys, uint32_t count, uint64_t lsn, uint32_t value)
{
    struct tx_tree_batch *batch = begin_batch(tree);

    OK(define(batch, 1));
    for (uint32_t i = 0; i < count; i++)
        write_key(batch, &keys[i], value == 0 ? 0 : value + i);
    OK(commit(batch, lsn));
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
        assert_true(t == 2 || *v == "abc"[t - 1]);
        OK(tx_tree_get(read, t, b.data, b.bytes, &v, &n, &err));
        assert_int_equal(*v, "ABC"[t - 1]);
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

/* ---- damage ---- */

/* Two keys that part behind three nodes, written; and what `damage` does to LMDB. */
static void
expect_damage(int (*damage)(struct tx_tree *tree, MDB_txn *txn))
{
    struct key keys[2] = { make_key(NULL, ENTRY + 3 * CHUNK, ENTRY + 3 * CHUNK + 9, 'a'),
                           make_key(NULL, ENTRY + 3 * CHUNK, ENTRY + 3 * CHUNK + 9, 'b') };
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read;
    struct tx_tree_batch *batch;
    struct tx_tree_cursor *c;
    struct tx_tree_pair pair;
    const uint8_t *v;
    MDB_txn *txn;
    uint32_t n;
    bool full;
    void *none = NULL;
    enum txkv_rc rc;

    write_all(tree, keys, 2, 8, 1);
    assert_int_equal(mdb_txn_begin(tree->env, NULL, 0, &txn), 0);
    assert_int_equal(damage(tree, txn), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    read = new_read(tree);
    (void)begin(read);
    assert_int_equal(tx_tree_get(read, 1, keys[0].data, keys[0].bytes, &v, &n, &err), TXKV_CORRUPT);
    assert_non_null(strstr(err.text, dir));
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    assert_int_equal(tx_tree_cursor_seek_ge(c, NULL, 0, &pair, &err), TXKV_CORRUPT);
    assert_int_equal(tx_tree_cursor_next(c, &pair, &err), TXKV_NOTFOUND);
    assert_int_equal(tx_tree_cursor_seek_le(c, NULL, 0, &pair, &err), TXKV_CORRUPT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tx_tree_cursor_seek_ge(c, keys[i].data, keys[i].bytes, &pair, &err),
                         TXKV_CORRUPT);
        assert_int_equal(tx_tree_cursor_seek_le(c, keys[i].data, keys[i].bytes, &pair, &err),
                         TXKV_CORRUPT);
    }
    tx_tree_cursor_close(c);
    tx_tree_read_free(read);
    /* Writing may find it or not, but neither crashes nor loops. */
    batch = begin_batch(tree);
    rc = tx_tree_batch_put(batch, 1, keys[0].data, keys[0].bytes, u8("x"), 1, &full, &err);
    assert_true(rc == TXKV_OK || rc == TXKV_CORRUPT);
    rc = tx_tree_batch_delete(batch, 1, keys[1].data, keys[1].bytes, &full, &err);
    assert_true(rc == TXKV_OK || rc == TXKV_CORRUPT);
    tx_tree_batch_abort(batch);
    tx_tree_close(tree);
    free_keys(keys, 2);
    assert_int_equal(remove_dir(&none), 0);
    assert_int_equal(make_dir(&none), 0);
}

/* Write `bytes` as what the table's entry says. */
static int
write_entry(struct tx_tree *tree, MDB_txn *txn, const void *bytes, size_t n)
{
    uint8_t key[ENTRY];
    MDB_val k = tx_tree_val(key, sizeof key), v = tx_tree_val(bytes, n);

    memset(key, 'k', sizeof key);
    return mdb_put(txn, tx_tree_handle_dbi(tree->handles[1]), &k, &v, 0);
}

static int
damage_to_nothing(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "", 0);
}

static int
damage_kind(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "\3\1\0\0\0\0\0\0\0", 9);
}

static int
damage_length(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "\2\1\0\0\0\0\0\0", 8);
}

static int
damage_tail(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "\1\x20kkk", 5);
}

static int
damage_number_zero(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "\2\0\0\0\0\0\0\0\0", 9);
}

static int
damage_number(struct tx_tree *tree, MDB_txn *txn)
{
    return write_entry(tree, txn, "\2\x77\0\0\0\0\0\0\0", 9);
}

static int
damage_no_nodes(struct tx_tree *tree, MDB_txn *txn)
{
    return mdb_drop(txn, tree->long_dbi, 0);
}

static void
nodes_that_are_damaged_are_refused(void **state)
{
    (void)state;
    expect_damage(damage_to_nothing);
    expect_damage(damage_kind);
    expect_damage(damage_length);
    expect_damage(damage_tail);
    expect_damage(damage_number_zero);
    expect_damage(damage_number);
    expect_damage(damage_no_nodes);
}

/* The innermost entry leads to the outermost node again. */
static void
nodes_in_a_circle_are_a_key_that_is_too_long(void **state)
{
    struct key keys[2] = { make_key(NULL, ENTRY + 2 * CHUNK, ENTRY + 2 * CHUNK + 9, 'a'),
                           make_key(NULL, ENTRY + 2 * CHUNK, ENTRY + 2 * CHUNK + 9, 'b') };
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read;
    struct tx_tree_cursor *c;
    struct tx_tree_pair pair;
    uint8_t room[ENTRY];
    const uint8_t *v;
    MDB_val k, value = tx_tree_val("\2\1\0\0\0\0\0\0\0", 9);
    MDB_txn *txn;
    uint32_t n;

    (void)state;
    write_all(tree, keys, 2, 8, 1);
    assert_int_equal(mdb_txn_begin(tree->env, NULL, 0, &txn), 0);
    k = tx_tree_node_key(room, 1, 2, keys[0].data, CHUNK);
    assert_int_equal(mdb_put(txn, tree->long_dbi, &k, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    read = new_read(tree);
    (void)begin(read);
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    assert_int_equal(tx_tree_cursor_seek_ge(c, NULL, 0, &pair, &err), TXKV_CORRUPT);
    assert_int_equal(tx_tree_cursor_seek_le(c, NULL, 0, &pair, &err), TXKV_CORRUPT);
    tx_tree_cursor_close(c);
    assert_int_equal(tx_tree_get(read, 1, keys[0].data, keys[0].bytes, &v, &n, &err),
                     TXKV_NOTFOUND);
    tx_tree_read_free(read);
    tx_tree_close(tree);
    free_keys(keys, 2);
}

static void
no_memory_for_a_long_key_is_said_and_the_next_try_works(void **state)
{
    struct key keys[2] = { make_key(NULL, 2000, 2001, 'a'), make_key(NULL, 2000, 2001, 'b') };
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read;
    uint64_t failed = 0;

    (void)state;
    write_all(tree, keys, 2, 8, 1);
    read = new_read(tree);
    (void)begin(read);
    for (uint64_t n = 1;; n++) {
        struct tx_tree_cursor *c = NULL;
        struct tx_tree_pair pair;
        enum txkv_rc rc;

        tx_mem_fail_at(n, false);
        rc = tx_tree_cursor_open(read, 1, &c, &err);
        if (rc == TXKV_OK)
            rc = tx_tree_cursor_seek_ge(c, keys[0].data, keys[0].bytes, &pair, &err);
        if (rc == TXKV_OK)
            rc = tx_tree_cursor_next(c, &pair, &err);
        tx_mem_fail_at(0, false);
        if (rc == TXKV_OK)
            expect_pair(rc, &pair, &keys[1]);
        tx_tree_cursor_close(c);
        if (rc == TXKV_OK)
            break;
        assert_int_equal(rc, TXKV_NOMEM);
        failed++;
        tx_tree_read_free(read); /* with what its cursors keep */
        read = new_read(tree);
        (void)begin(read);
    }
    assert_true(failed >= 3);
    tx_tree_read_free(read);
    tx_tree_close(tree);
    free_keys(keys, 2);
}

/* ---- format 1 ---- */

/* What stood in a store of format 1: the longest key as LMDB's, the format, no "long". */
static void
make_old(const struct key *longest, const void *value, size_t value_bytes)
{
    struct tx_tree *tree = open_tree(MIB);
    MDB_val k = tx_tree_val(longest->data, longest->bytes), v = tx_tree_val(value, value_bytes);
    MDB_txn *txn;

    fill(tree, 1, 8, (const char *const[]){ "a", "z" }, 2);
    assert_int_equal(mdb_txn_begin(tree->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, tx_tree_handle_dbi(tree->handles[1]), &k, &v, 0), 0);
    assert_int_equal(mdb_drop(txn, tree->long_dbi, 1), 0);
    k = tx_tree_val("format", 6);
    v = tx_tree_val("\1\0\0\0", 4);
    assert_int_equal(mdb_put(txn, tree->meta_dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    tx_tree_close(tree);
}

static void
a_store_of_format_1_is_converted_by_whom_has_it_alone(void **state)
{
    static uint8_t value[MIB - 200000]; /* the map must grow */
    struct key longest = make_key(NULL, ENTRY, ENTRY, 'k');
    struct tx_tree *tree;
    struct tx_tree_read *read;
    const uint8_t *v;
    uint32_t n;

    (void)state;
    memset(value, 2, sizeof value); /* looks like an entry of a node, and is none */
    make_old(&longest, value, sizeof value);
    assert_int_equal(tx_tree_open(dir, MIB, NULL, TX_TREE_JOINS, &tree, &err), TXKV_FORMAT);
    assert_non_null(strstr(err.text, "format 1"));
    assert_non_null(strstr(err.text, "open it once"));
    for (int i = 0; i < 2; i++) { /* the second time it is of the new format */
        tree = open_tree(MIB);
        read = new_read(tree);
        assert_int_equal(begin(read), 8);
        assert_true(sees(read, 1, "a", "a"));
        assert_true(sees(read, 1, "z", "z"));
        OK(tx_tree_get(read, 1, longest.data, longest.bytes, &v, &n, &err));
        assert_int_equal(n, sizeof value);
        assert_memory_equal(v, value, n);
        assert_int_equal(tx_tree_rows(read, 1), 3);
        tx_tree_read_free(read);
        tx_tree_close(tree);
    }
    OK(tx_tree_open(dir, MIB, NULL, TX_TREE_JOINS, &tree, &err));
    tx_tree_close(tree);
    free(longest.data);
}

static void
the_bytes_of_long_keys_are_those_of_the_file_format(void **state)
{
    struct key keys[2] = { make_key(NULL, ENTRY + CHUNK, ENTRY + CHUNK + 2, 'a'),
                           make_key(NULL, ENTRY + CHUNK + 1, ENTRY + CHUNK + 1, 0) };
    struct tx_tree *tree = open_tree(MIB);
    uint8_t room[ENTRY];
    struct tx_tree_batch *batch;
    MDB_val k, v;
    MDB_txn *txn;

    (void)state;
    batch = begin_batch(tree);
    OK(define(batch, 1));
    write_key(batch, &keys[0], 7);
    OK(commit(batch, 8));
    assert_int_equal(mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &txn), 0);
    k = tx_tree_val(keys[0].data, ENTRY);
    assert_int_equal(mdb_get(txn, tx_tree_handle_dbi(tree->handles[1]), &k, &v), 0);
    assert_int_equal(v.mv_size, 3 + CHUNK + 2 + 1); /* 0x01, f5 03, the tail, the row */
    assert_memory_equal(v.mv_data, "\x01\xf5\x03kk", 5);
    assert_memory_equal((uint8_t *)v.mv_data + 3 + CHUNK, "aa7", 3);
    mdb_txn_abort(txn);
    batch = begin_batch(tree);
    write_key(batch, &keys[1], 8);
    OK(commit(batch, 16));
    assert_int_equal(mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_get(txn, tx_tree_handle_dbi(tree->handles[1]), &k, &v), 0);
    assert_int_equal(v.mv_size, 9);
    assert_memory_equal(v.mv_data, "\2\1\0\0\0\0\0\0\0", 9);
    memset(room, 'k', sizeof room);
    memcpy(room, "\0\0\0\1\0\0\0\0\0\0\0\1", 12);
    k = tx_tree_val(room, sizeof room);
    assert_int_equal(mdb_get(txn, tree->long_dbi, &k, &v), 0);
    assert_memory_equal(v.mv_data, "\2\2\0\0\0\0\0\0\0", 9);
    memcpy(room, "\0\0\0\1\0\0\0\0\0\0\0\2kk", 14);
    k = tx_tree_val(room, 13);
    assert_int_equal(mdb_get(txn, tree->long_dbi, &k, &v), 0);
    assert_int_equal(*(uint8_t *)v.mv_data, '8');
    memcpy(room + 12, "aa", 2);
    k = tx_tree_val(room, 14);
    assert_int_equal(mdb_get(txn, tree->long_dbi, &k, &v), 0);
    assert_int_equal(*(uint8_t *)v.mv_data, '7');
    memcpy(room, "extra/\0\0\0\1", 10);
    k = tx_tree_val(room, 10);
    assert_int_equal(mdb_get(txn, tree->meta_dbi, &k, &v), 0);
    assert_int_equal(v.mv_size, 8);
    assert_memory_equal(v.mv_data, "\1\0\0\0\0\0\0\0", 8);
    mdb_txn_abort(txn);
    tx_tree_close(tree);
    free_keys(keys, 2);
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
        TEST(nodes_that_are_damaged_are_refused),
        TEST(nodes_in_a_circle_are_a_key_that_is_too_long),
        TEST(no_memory_for_a_long_key_is_said_and_the_next_try_works),
        TEST(a_store_of_format_1_is_converted_by_whom_has_it_alone),
        TEST(the_bytes_of_long_keys_are_those_of_the_file_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
