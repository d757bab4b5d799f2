/*
 * test_tree_leaf.c - a cursor's steps within a page, between pages, and over what LMDB must read.
 */
#include "tree_fixture.h"

#include "../../src/tree_leaf.h"

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
        pages += c->leaf.count > 0 && c->leaf.page != page;
        page = c->leaf.page;
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
    tree->known_pages = false;
    assert_int_equal(walk(c, false), 0);
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
    int entered = 0;

    (void)state;
    fill_rows(tree);
    (void)begin(read);
    OK(tx_tree_cursor_open(read, 1, &c, &err));
    for (uint32_t at = 1; at + 1 < ROWS; at++) {
        OK(tx_tree_cursor_seek_ge(c, key, make_key(at, key), &p, &err));
        OK(tx_tree_cursor_next(c, &p, &err));
        assert_true(is_row(&p, at + 1));
        entered += c->leaf.count > 0 && c->leaf.at != c->leaf.entered;
        OK(tx_tree_cursor_seek_le(c, key, make_key(at, key), &p, &err));
        OK(tx_tree_cursor_prev(c, &p, &err));
        assert_true(is_row(&p, at - 1));
        OK(tx_tree_cursor_next(c, &p, &err));
        assert_true(is_row(&p, at));
    }
    assert_true(entered > ROWS / 2); /* without a step of LMDB's */
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

/* ---- pages that are not what they should be ---- */

static uint8_t page[TX_PAGE_BYTES] __attribute__((aligned(TX_PAGE_BYTES)));

static void
put_u16(uint32_t at, uint32_t v)
{
    page[at] = (uint8_t)v;
    page[at + 1] = (uint8_t)(v >> 8);
}

/* A leaf page of three nodes "k" with the values "0", "1" and "2"; the pair is that of the first.
 */
static struct tx_tree_pair
make_page(void)
{
    memset(page, 0, sizeof page);
    put_u16(TX_AT_PAGE_FLAGS, TX_PAGE_LEAF);
    put_u16(TX_AT_LOWER, TX_PAGE_HEADER + 3 * 2);
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t node = TX_PAGE_BYTES - 10 * (i + 1);

        put_u16(TX_PAGE_HEADER + 2 * i, node);
        put_u16(node, 1);
        put_u16(node + 6, 1);
        page[node + 8] = 'k';
        page[node + 9] = (uint8_t)('0' + i);
    }
    return (struct tx_tree_pair){ .key = page + TX_PAGE_BYTES - 2,
                                  .key_bytes = 1,
                                  .value = page + TX_PAGE_BYTES - 1,
                                  .value_bytes = 1 };
}

static bool
enters(struct tx_tree_pair pair)
{
    struct tx_tree_leaf leaf = { .page = page };

    tx_tree_leaf_enter(&leaf, false, &pair);
    return leaf.count > 0;
}

static void
a_node_is_found_at_every_place_of_a_list(void **state)
{
    enum { NODES = 40 };
    uint8_t list[2 * NODES + 2];

    (void)state;
    for (uint32_t i = 0; i <= NODES; i++) {
        list[2 * i] = (uint8_t)i;
        list[2 * i + 1] = (uint8_t)(i % 3);
    }
    for (uint32_t count = 0; count <= NODES; count++)
        for (uint32_t i = 0; i <= NODES; i++)
            assert_int_equal(tx_tree_leaf_find(list, count, i % 3 << 8 | i), i < count ? i : count);
}

static void
a_page_is_entered_only_if_it_lists_the_node(void **state)
{
    struct tx_tree_pair pair = make_page();

    (void)state;
    assert_true(enters(pair));
    put_u16(TX_PAGE_HEADER, TX_PAGE_BYTES - 12); /* another offset */
    assert_false(enters(pair));
    pair = make_page();
    put_u16(TX_AT_PAGE_FLAGS, 1); /* a branch page */
    assert_false(enters(pair));
    pair = make_page();
    put_u16(TX_AT_LOWER, TX_PAGE_HEADER - 2);
    assert_false(enters(pair));
    put_u16(TX_AT_LOWER, TX_PAGE_BYTES + 2);
    assert_false(enters(pair));
    pair = make_page();
    pair.value = page; /* elsewhere */
    assert_false(enters(pair));
    pair = make_page();
    pair.key_bytes = TX_TREE_ENTRY_BYTES;
    pair.value = pair.key + TX_TREE_ENTRY_BYTES;
    assert_false(enters(pair));
}

static void
a_node_that_is_not_plain_is_left_to_lmdb(void **state)
{
    const uint32_t node = TX_PAGE_BYTES - 20;
    struct tx_tree_pair pair = make_page(), found = pair;
    struct tx_tree_leaf leaf = { .page = page };

    (void)state;
    tx_tree_leaf_enter(&leaf, false, &pair);
    assert_true(tx_tree_leaf_read(&leaf, 1, &found));
    assert_int_equal(found.value[0], '1');
    assert_int_equal(found.value_bytes, 1);
    put_u16(node + 4, 1); /* its value is in overflow pages */
    assert_false(tx_tree_leaf_read(&leaf, 1, &found));
    (void)make_page();
    put_u16(node + 6, TX_TREE_ENTRY_BYTES);
    assert_false(tx_tree_leaf_read(&leaf, 1, &found));
    (void)make_page();
    put_u16(node, 12); /* one byte beyond the page */
    assert_false(tx_tree_leaf_read(&leaf, 1, &found));
    put_u16(node, 11);
    assert_true(tx_tree_leaf_read(&leaf, 1, &found));
    put_u16(node + 2, 0xffff);
    assert_false(tx_tree_leaf_read(&leaf, 1, &found));
    (void)make_page();
    put_u16(TX_PAGE_HEADER + 2, TX_PAGE_BYTES - TX_NODE_HEADER + 1);
    assert_false(tx_tree_leaf_read(&leaf, 1, &found));
    (void)make_page();
    assert_true(tx_tree_leaf_step(&leaf, false, &found));
    assert_true(tx_tree_leaf_step(&leaf, false, &found));
    assert_false(tx_tree_leaf_step(&leaf, false, &found));
    assert_int_equal(found.value[0], '2');
    assert_true(tx_tree_leaf_step(&leaf, true, &found));
    assert_true(tx_tree_leaf_step(&leaf, true, &found));
    assert_false(tx_tree_leaf_step(&leaf, true, &found));
    assert_int_equal(found.value[0], '0');
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
        cmocka_unit_test(a_node_is_found_at_every_place_of_a_list),
        cmocka_unit_test(a_page_is_entered_only_if_it_lists_the_node),
        cmocka_unit_test(a_node_that_is_not_plain_is_left_to_lmdb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
