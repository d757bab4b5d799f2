/*
 * test_tree_walk.c - the way through a table's pages: look-ups, seeks, steps, and pages that are
 * not what they should be.
 */
#include "tree_fixture.h"

#include <fcntl.h>

#include "../../src/tree_ahead.h"
#include "../../src/tree_long.h"
#include "../../src/tree_walk.h"

enum { ROWS = 3000, ROOM = 6000 };

/* Row i: every 50th key is a long one, and some values do not stand in a page of their key's. */
static uint32_t
make_key(uint32_t i, uint8_t key[ROOM])
{
    const uint32_t bytes = i % 50 == 7 ? 505 + i % 12 : 8 + i % 5;

    memset(key, 'x', bytes);
    (void)snprintf((char *)key, 8, "%07u", i);
    key[7] = 'x';
    return bytes;
}

static uint32_t
make_value(uint32_t i, uint8_t value[ROOM])
{
    const uint32_t bytes = i % 40 < 3 ? 2000 + i % 3000 : i % 90;

    memset(value, (int)(i & 0xff), bytes);
    return bytes;
}

static void
fill_rows(struct tx_tree *tree)
{
    struct tx_tree_batch *batch = begin_batch(tree);
    static uint8_t key[ROOM], value[ROOM];

    OK(define(batch, 1));
    for (uint32_t i = 0; i < ROWS; i++) {
        const uint32_t key_bytes = make_key(i, key), value_bytes = make_value(i, value);
        bool full;

        OK(tx_tree_batch_put(batch, 1, key, key_bytes, value, value_bytes, &full, &err));
    }
    OK(commit(batch, 8));
}

static bool
is_row(const struct tx_tree_pair *pair, uint32_t i)
{
    static uint8_t key[ROOM], value[ROOM];
    const uint32_t key_bytes = make_key(i, key), value_bytes = make_value(i, value);

    return pair->key_bytes == key_bytes && memcmp(pair->key, key, key_bytes) == 0 &&
           pair->value_bytes == value_bytes && memcmp(pair->value, value, value_bytes) == 0;
}

/* All rows from an end on; says in how many pages the cursor has gone without LMDB. */
static int
walk(struct tx_tree_cursor *c, bool backward)
{
    const uint8_t *page = NULL;
    struct tx_tree_pair p;
    int pages = 0;

    if (backward)
        OK(tx_tree_cursor_seek_le(c, NULL, 0, &p, &err));
    else
        OK(tx_tree_cursor_seek_ge(c, NULL, 0, &p, &err));
    for (uint32_t n = 0; n < ROWS; n++) {
        enum txkv_rc rc;

        assert_true(is_row(&p, backward ? ROWS - 1 - n : n));
        rc = backward ? tx_tree_cursor_prev(c, &p, &err) : tx_tree_cursor_next(c, &p, &err);
        assert_int_equal(rc, n + 1 < ROWS ? TXKV_OK : TXKV_NOTFOUND);
        pages += c->walk.count > 0 && c->walk.leaf != page;
        page = c->walk.leaf;
    }
    return pages;
}

static void
a_walk_gives_all_rows_in_order_whatever_their_size(void **state)
{
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read = new_read(tree);
    struct tx_tree_cursor *c;

    (void)state;
    assert_true(tree->known_pages);
    fill_rows(tree);
    (void)begin(read);
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    assert_true(walk(c, false) > 40);
    assert_true(walk(c, true) > 40);
    tx_tree_cursor_close(c);
    tree->known_pages = false;
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    assert_int_equal(walk(c, false), 0);
    assert_int_equal(walk(c, true), 0);
    tx_tree_cursor_close(c);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

/* To and fro, with some steps each way, and every step is looked at. */
static void
a_cursor_that_turns_round_comes_back_over_the_same_rows(void **state)
{
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read = new_read(tree);
    static uint8_t key[ROOM];
    struct tx_tree_cursor *c;
    struct tx_tree_pair p;

    (void)state;
    fill_rows(tree);
    (void)begin(read);
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    srand(7);
    for (int round = 0; round < 200; round++) {
        uint32_t at = 300 + (uint32_t)rand() % (ROWS - 600);

        OK(tx_tree_cursor_seek_ge(c, key, make_key(at, key), &p, &err));
        for (int turn = 0; turn < 6; turn++) {
            const bool backward = rand() % 2 == 0;

            for (int steps = rand() % 50; steps > 0; steps--) {
                if (backward)
                    OK(tx_tree_cursor_prev(c, &p, &err));
                else
                    OK(tx_tree_cursor_next(c, &p, &err));
                at = backward ? at - 1 : at + 1;
                assert_true(is_row(&p, at));
            }
        }
    }
    tx_tree_cursor_close(c);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

/* Where a row stands in its page is found wherever that is, before the first step. */
static void
a_seek_to_any_row_is_followed_by_its_neighbours(void **state)
{
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read = new_read(tree);
    static uint8_t key[ROOM];
    struct tx_tree_cursor *c;
    struct tx_tree_pair p;

    (void)state;
    fill_rows(tree);
    (void)begin(read);
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    for (uint32_t at = 1; at + 1 < ROWS; at++) {
        OK(tx_tree_cursor_seek_ge(c, key, make_key(at, key), &p, &err));
        OK(tx_tree_cursor_next(c, &p, &err));
        assert_true(is_row(&p, at + 1));
        OK(tx_tree_cursor_seek_le(c, key, make_key(at, key), &p, &err));
        OK(tx_tree_cursor_prev(c, &p, &err));
        assert_true(is_row(&p, at - 1));
        OK(tx_tree_cursor_next(c, &p, &err));
        assert_true(is_row(&p, at));
    }
    tx_tree_cursor_close(c);
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

/*
 * Goal: a cursor that was closed and is opened again sees what its read sees. Method: a row that
 * each next commit changes, read with such a cursor twice in each of the reads that follow.
 */
static void
a_cursor_that_is_opened_again_sees_the_state_of_its_read(void **state)
{
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read = new_read(tree);
    static uint8_t value[1000];

    (void)state;
    fill_rows(tree);
    for (uint64_t n = 1; n <= 50; n++) {
        struct tx_tree_batch *batch = begin_batch(tree);
        bool full;

        memset(value, (int)n, sizeof value);
        OK(tx_tree_batch_put(batch, 1, u8("9"), 1, value, sizeof value, &full, &err));
        OK(commit(batch, 8 * (n + 1)));
        (void)begin(read);
        for (int again = 0; again < 3; again++) {
            struct tx_tree_cursor *c;
            struct tx_tree_pair p;

            OK(tx_tree_cursor_open(read, 1, &c, &err));
            OK(tx_tree_cursor_seek_le(c, NULL, 0, &p, &err));
            assert_int_equal(p.key_bytes, 1);
            assert_int_equal(p.value_bytes, sizeof value);
            assert_memory_equal(p.value, value, sizeof value);
            OK(tx_tree_cursor_prev(c, &p, &err));
            assert_true(is_row(&p, ROWS - 1));
            tx_tree_cursor_close(c);
        }
        tx_tree_read_end(read);
    }
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

/* ---- the same as LMDB ---- */

/* Rows that come in three batches, some of them gone again: pages that are split, and not full. */
static void
fill_at_random(struct tx_tree *tree, uint32_t rows)
{
    static uint8_t key[ROOM], value[ROOM];

    for (uint64_t round = 0; round < 3; round++) {
        struct tx_tree_batch *batch = begin_batch(tree);

        if (round == 0)
            OK(define(batch, 1));
        for (uint32_t i = 0; i < rows; i++) {
            const uint32_t key_bytes = make_key(i, key);
            const int kind = rand() % 4;
            bool full;

            if (kind == 0)
                OK(tx_tree_batch_delete(batch, 1, key, key_bytes, &full, &err));
            else if (kind < 3)
                OK(tx_tree_batch_put(batch, 1, key, key_bytes, value, make_value(i, value), &full,
                                     &err));
        }
        OK(commit(batch, 8 * (round + 1)));
    }
}

/* A key that is there, or was, or one that is a little different. */
static uint32_t
make_probe(uint32_t rows, uint8_t probe[ROOM])
{
    uint32_t bytes = make_key((uint32_t)rand() % (rows + 1), probe);

    switch (rand() % 5) {
    case 0:
        return 1 + (uint32_t)rand() % (bytes - 1);
    case 1:
        probe[bytes] = (uint8_t)(rand() % 3);
        return bytes + 1;
    case 2:
        probe[(uint32_t)rand() % bytes] ^= (uint8_t)(1 << rand() % 8);
        return bytes;
    default:
        return bytes;
    }
}

struct answer {
    enum txkv_rc got, rc[3];
    const uint8_t *value, *values[3];
};

/* What a read says of a probe: by key, and where a cursor comes to and steps to from there. */
static struct answer
ask(struct tx_tree_read *read, const uint8_t *probe, uint32_t bytes, bool backward)
{
    struct tx_tree_cursor *c;
    struct tx_tree_pair p;
    struct answer answer = { 0 };
    uint32_t value_bytes;

    answer.got = tx_tree_get(read, 1, probe, bytes, &answer.value, &value_bytes, &err);
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            answer.rc[i] = (i == 1) == backward ? tx_tree_cursor_prev(c, &p, &err)
                                                : tx_tree_cursor_next(c, &p, &err);
        else if (backward)
            answer.rc[i] = tx_tree_cursor_seek_le(c, probe, bytes, &p, &err);
        else
            answer.rc[i] = tx_tree_cursor_seek_ge(c, probe, bytes, &p, &err);
        answer.values[i] = answer.rc[i] == TXKV_OK ? p.value : NULL;
    }
    tx_tree_cursor_close(c);
    return answer;
}

/*
 * Invariant: a walk answers whatever it is asked as LMDB does. Method: trees of no row to some
 * thousands, and both ways to read them, which find the same bytes of the map.
 */
static void
a_walk_answers_as_lmdb_does(void **state)
{
    static const uint32_t sizes[] = { 0, 1, 2, 20, 400, ROWS };
    static uint8_t probe[ROOM];

    (void)state;
    srand(11);
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        struct tx_tree *tree = open_tree(64 * MIB);
        struct tx_tree_read *read = new_read(tree);

        fill_at_random(tree, sizes[n]);
        (void)begin(read);
        for (int round = 0; round < 3000; round++) {
            const uint32_t bytes = make_probe(sizes[n], probe);
            const bool backward = rand() % 2 == 0;
            struct answer own, lmdb;

            own = ask(read, probe, bytes, backward);
            tree->known_pages = false;
            lmdb = ask(read, probe, bytes, backward);
            tree->known_pages = true;
            assert_memory_equal(&own, &lmdb, sizeof own);
        }
        tx_tree_read_free(read);
        tx_tree_close(tree);
        assert_int_equal(unlink(data_file), 0);
    }
}

/* ---- a file that changes while it is open ---- */

/* Where the page stands in the file that has what "meta" says of the checkpoint. */
static off_t
find_meta_leaf(struct tx_tree_read *read)
{
    MDB_val key = tx_tree_val(TX_TREE_KEY_CHECKPOINT, sizeof TX_TREE_KEY_CHECKPOINT - 1), value;
    uint64_t pages;
    off_t at;

    (void)begin(read);
    assert_int_equal(mdb_get(read->txn, read->tree->meta_dbi, &key, &value), 0);
    at = (const uint8_t *)value.mv_data - tx_tree_map(read, &pages);
    tx_tree_read_end(read);
    return at - at % TX_PAGE_BYTES;
}

/* Where the map lies is worked out from a page's number: a wrong one is not believed. */
static void
a_page_with_another_number_does_not_lead_out_of_the_map(void **state)
{
    struct tx_tree *tree = open_tree(16 * MIB);
    struct tx_tree_read *read = new_read(tree);
    static const uint64_t numbers[] = { 1u << 30, UINT64_MAX, 1000, 1, 0 };
    static uint8_t key[ROOM];
    const int fd = open(data_file, O_RDWR | O_CLOEXEC);
    off_t at;

    (void)state;
    assert_true(fd >= 0);
    fill_rows(tree);
    at = find_meta_leaf(read);
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
        struct tx_tree_read *other = new_read(tree);
        const uint8_t *value;
        uint32_t bytes;

        assert_int_equal(pwrite(fd, &numbers[n], sizeof *numbers, at), sizeof *numbers);
        (void)begin(other);
        OK(tx_tree_get(other, 1, key, make_key(0, key), &value, &bytes, &err));
        tx_tree_read_free(other);
    }
    assert_int_equal(close(fd), 0); /* where it takes LMDB's locks away: nobody else has the file */
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

/* ---- pages that are not what they should be ---- */

enum { BRANCH_NODES = 4, PAGES = 1 + BRANCH_NODES };
static uint8_t map[PAGES * TX_PAGE_BYTES] __attribute__((aligned(TX_PAGE_BYTES)));

static void
put_u16(uint32_t page, uint32_t at, uint32_t v)
{
    map[page * TX_PAGE_BYTES + at] = (uint8_t)v;
    map[page * TX_PAGE_BYTES + at + 1] = (uint8_t)(v >> 8);
}

/* Where node i of a page of make_map's stands. */
static uint32_t
node_at(uint32_t i)
{
    return TX_PAGE_BYTES - 12 * (i + 1);
}

/* A page of some nodes of 12 bytes, a letter their key; in a leaf the values have two bytes. */
static void
make_page(uint32_t page, uint32_t flags, uint32_t nodes, char letter)
{
    put_u16(page, 0, page); /* its number */
    put_u16(page, TX_AT_PAGE_FLAGS, flags);
    put_u16(page, TX_AT_LOWER, TX_PAGE_HEADER + 2 * nodes);
    for (uint32_t i = 0; i < nodes; i++) {
        const uint32_t node = node_at(i);

        put_u16(page, TX_PAGE_HEADER + 2 * i, node);
        put_u16(page, node, flags == TX_PAGE_LEAF ? 2 : 1 + i);
        put_u16(page, node + 6, 1);
        map[page * TX_PAGE_BYTES + node + TX_NODE_HEADER] = (uint8_t)(letter + (int)i);
    }
}

/* A root, page 0, with leaves of the keys a and b, c and d, e and f, g and h. */
static struct tx_tree_pages
make_map(void)
{
    memset(map, 0, sizeof map);
    make_page(0, TX_PAGE_BRANCH, BRANCH_NODES, 0);
    for (uint32_t i = 0; i < BRANCH_NODES; i++) {
        make_page(1 + i, TX_PAGE_LEAF, 2, (char)('a' + 2 * i));
        map[node_at(i) + TX_NODE_HEADER] = (uint8_t)('a' + 2 * i);
    }
    return (struct tx_tree_pages){ .map = map, .count = PAGES, .root = 0, .depth = 2 };
}

/* A walk over all; the pairs that there are, or LMDB's result, which is less than 0. */
static int
count_pairs(struct tx_tree_pages pages, bool backward)
{
    struct tx_tree_walk walk = { .pages = pages };
    struct tx_tree_pair pair;
    int e, count = 0;

    for (e = tx_tree_walk_end(&walk, backward, &pair); e == 0; count++)
        if (!tx_tree_walk_step(&walk, backward ? TX_TREE_BACKWARD : TX_TREE_FORWARD, &pair))
            e = tx_tree_walk_on(&walk, backward, &pair);
    return e == MDB_NOTFOUND ? count : e;
}

static int
look_up(struct tx_tree_pages pages, const char *key)
{
    struct tx_tree_pair pair;

    return tx_tree_walk_get(&pages, (struct txkv_bytes){ u8(key), strlen(key) }, &pair);
}

static void
is_damage(struct tx_tree_pages pages)
{
    assert_int_equal(count_pairs(pages, false), MDB_CORRUPTED);
    assert_int_equal(count_pairs(pages, true), MDB_CORRUPTED);
    assert_int_equal(look_up(pages, "e"), MDB_CORRUPTED);
}

static void
a_page_that_cannot_be_is_damage(void **state)
{
    struct tx_tree_pages pages = make_map();

    (void)state;
    assert_int_equal(count_pairs(pages, false), 2 * BRANCH_NODES);
    assert_int_equal(count_pairs(pages, true), 2 * BRANCH_NODES);
    assert_int_equal(look_up(pages, "e"), 0);
    assert_int_equal(look_up(pages, "ee"), MDB_NOTFOUND);
    put_u16(0, node_at(2), PAGES); /* a child behind the map's end */
    is_damage(pages);
    pages = make_map();
    put_u16(3, TX_AT_PAGE_FLAGS, TX_PAGE_BRANCH);
    is_damage(pages);
    pages = make_map();
    put_u16(0, TX_AT_PAGE_FLAGS, TX_PAGE_LEAF);
    is_damage(pages);
    pages = make_map();
    put_u16(3, 2, 1); /* another one's number */
    is_damage(pages);
    pages = make_map();
    put_u16(3, TX_AT_LOWER, TX_PAGE_HEADER); /* no nodes */
    is_damage(pages);
    put_u16(3, TX_AT_LOWER, TX_PAGE_BYTES + 2);
    is_damage(pages);
    pages = make_map();
    put_u16(0, TX_PAGE_HEADER + 4, TX_PAGE_BYTES - TX_NODE_HEADER + 2); /* out of the page */
    is_damage(pages);
    pages = make_map();
    pages.depth = 3;
    is_damage(pages);
    pages.root = PAGES;
    is_damage(pages);
    pages.root = TX_NO_PAGE;
    assert_int_equal(count_pairs(pages, false), 0);
}

static void
a_node_that_cannot_be_is_damage(void **state)
{
    struct tx_tree_pages pages = make_map();

    (void)state;
    put_u16(3, node_at(0) + 4, 8); /* flags that nobody knows */
    is_damage(pages);
    put_u16(3, node_at(0) + 4, TX_NODE_BIG); /* two bytes are no page's number */
    is_damage(pages);
    pages = make_map();
    put_u16(3, node_at(0) + 6, TX_PAGES_KEY_BYTES_MAX + 1);
    is_damage(pages);
    pages = make_map();
    put_u16(3, node_at(0), 15); /* with header and key one byte beyond the page */
    put_u16(3, node_at(0) + 2, 1);
    is_damage(pages);
    pages = make_map();
    put_u16(3, TX_PAGE_HEADER, TX_PAGE_BYTES - TX_NODE_HEADER + 1);
    is_damage(pages);
}

/* The value of "f" on page 4, which is said to be one of overflow pages. */
static void
a_value_elsewhere_is_where_it_can_be(void **state)
{
    const uint32_t f = node_at(1);
    struct tx_tree_pages pages = make_map();
    struct tx_tree_pair pair;

    (void)state;
    put_u16(3, f + 4, TX_NODE_BIG);
    for (uint32_t i = 0; i < 8; i += 2)
        put_u16(3, f + TX_NODE_HEADER + 1 + i, i == 0 ? 4 : 0);
    assert_int_equal(look_up(pages, "f"), MDB_CORRUPTED); /* it is a leaf */
    put_u16(4, TX_AT_PAGE_FLAGS, TX_PAGE_OVERFLOW);
    put_u16(3, f, TX_PAGE_BYTES - TX_PAGE_HEADER);
    assert_int_equal(tx_tree_walk_get(&pages, (struct txkv_bytes){ u8("f"), 1 }, &pair), 0);
    assert_ptr_equal(pair.value, map + 4 * TX_PAGE_BYTES + TX_PAGE_HEADER);
    assert_int_equal(pair.value_bytes, TX_PAGE_BYTES - TX_PAGE_HEADER);
    put_u16(3, f, TX_PAGE_BYTES - TX_PAGE_HEADER + 1); /* beyond the map */
    assert_int_equal(look_up(pages, "f"), MDB_CORRUPTED);
    put_u16(3, f, 2);
    put_u16(3, f + TX_NODE_HEADER + 1, PAGES);
    assert_int_equal(look_up(pages, "f"), MDB_CORRUPTED);
    put_u16(3, f + TX_NODE_HEADER + 1 + 6, 0xffff);
    assert_int_equal(look_up(pages, "f"), MDB_CORRUPTED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_walk_gives_all_rows_in_order_whatever_their_size,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_cursor_that_turns_round_comes_back_over_the_same_rows,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_seek_to_any_row_is_followed_by_its_neighbours, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_cursor_that_is_opened_again_sees_the_state_of_its_read,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_walk_answers_as_lmdb_does, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_page_with_another_number_does_not_lead_out_of_the_map,
                                        make_dir, remove_dir),
        cmocka_unit_test(a_page_that_cannot_be_is_damage),
        cmocka_unit_test(a_node_that_cannot_be_is_damage),
        cmocka_unit_test(a_value_elsewhere_is_where_it_can_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
