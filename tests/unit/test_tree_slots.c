/*
 * test_tree_slots.c - tables that come after one another in a slot of the tree.
 */
#include "tree_fixture.h"

#include "../../src/tree_private.h"

static void
drop(struct tx_tree *tree, uint32_t table, uint64_t lsn)
{
    struct tx_tree_batch *batch = begin_batch(tree);
    bool full;

    OK(tx_tree_batch_drop(batch, table, &full, &err));
    OK(tx_tree_batch_commit(batch, lsn, 0, &full, &err));
}

static void
make(struct tx_tree *tree, uint32_t table, const char *value, uint64_t lsn)
{
    struct tx_tree_batch *batch = begin_batch(tree);
    bool full;

    OK(define(batch, table));
    OK(put(batch, table, "k", value));
    OK(tx_tree_batch_commit(batch, lsn, 0, &full, &err));
}

static void
a_read_finds_the_table_of_its_time_in_a_slot(void **state)
{
    const uint32_t first = 1, second = 1 + (1u << TX_TABLE_SLOT_BITS);
    struct tx_tree_read *old, *between, *now;
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_batch *batch;

    (void)state;
    make(tree, first, "old", 100);
    old = new_read(tree);
    assert_int_equal(begin(old), 100);
    drop(tree, first, 200);
    between = new_read(tree);
    assert_int_equal(begin(between), 200);
    make(tree, second, "new", 300);
    drop(tree, first, 400); /* again, as a replayed log does */
    now = new_read(tree);
    assert_int_equal(begin(now), 400);
    assert_true(sees(old, first, "k", "old"));
    assert_true(sees(old, second, "k", NULL));
    assert_true(sees(between, first, "k", NULL));
    assert_true(sees(between, second, "k", NULL));
    assert_true(sees(now, first, "k", NULL));
    assert_true(sees(now, second, "k", "new"));
    assert_int_equal(tx_tree_rows(now, first), 0);
    assert_int_equal(tx_tree_rows(old, second), 0);
    batch = begin_batch(tree);
    assert_int_equal(put(batch, first, "k", "lost"), TXKV_MISUSE);
    tx_tree_batch_abort(batch);
    tx_tree_read_free(old);
    tx_tree_read_free(between);
    tx_tree_read_free(now);
    tx_tree_close(tree);
    tree = open_tree(MIB);
    now = new_read(tree);
    (void)begin(now);
    assert_true(sees(now, second, "k", "new"));
    assert_true(sees(now, first, "k", NULL));
    tx_tree_read_free(now);
    tx_tree_close(tree);
}

/*
 * Goal: a read that is older than a slot's first database finds that table empty, though the slot
 * has another one by now. Method: both ways to read, and a key of either kind.
 */
static void
a_read_from_before_a_slot_was_used_finds_its_tables_empty(void **state)
{
    const uint32_t first = 1, second = 1 + (1u << TX_TABLE_SLOT_BITS);
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *old = new_read(tree);
    static char long_key[601];

    (void)state;
    memset(long_key, 'k', sizeof long_key - 1);
    (void)begin(old);
    make(tree, first, "old", 100);
    drop(tree, first, 200);
    make(tree, second, "new", 300);
    for (int way = 0; way < 2; way++) {
        struct tx_tree_cursor *cursor;
        struct tx_tree_pair pair;

        tree->known_pages = way == 0;
        assert_true(sees(old, first, "k", NULL));
        assert_true(sees(old, first, long_key, NULL));
        OK(tx_tree_cursor_open(old, first, &cursor, &err));
        assert_int_equal(tx_tree_cursor_seek_ge(cursor, NULL, 0, &pair, &err), TXKV_NOTFOUND);
        tx_tree_cursor_close(cursor);
        assert_int_equal(tx_tree_rows(old, first), 0);
    }
    tx_tree_read_free(old);
    tx_tree_close(tree);
}

/* Pairs of the file's database of long keys. */
static size_t
count_long(const struct tx_tree *tree)
{
    MDB_stat stat;
    MDB_txn *txn;

    assert_int_equal(mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_stat(txn, tree->long_dbi, &stat), 0);
    mdb_txn_abort(txn);
    return stat.ms_entries;
}

static void
a_dropped_table_leaves_none_of_its_long_keys(void **state)
{
    const uint32_t first = 1, second = 1 + (1u << TX_TABLE_SLOT_BITS), other = 2;
    char a[1300], b[1300];
    const char *const keys[] = { a, b, "short" };
    struct tx_tree *tree = open_tree(MIB);
    struct tx_tree_read *read;
    size_t other_pairs;

    (void)state;
    memset(a, 'k', sizeof a);
    memset(b, 'k', sizeof b);
    a[sizeof a - 1] = b[sizeof b - 1] = '\0';
    b[sizeof b - 2] = 'l';
    fill(tree, other, 100, keys, 3);
    other_pairs = count_long(tree);
    assert_true(other_pairs > 0);
    fill(tree, first, 200, keys, 3);
    assert_int_equal(count_long(tree), 2 * other_pairs);
    drop(tree, first, 300);
    assert_int_equal(count_long(tree), other_pairs);
    make(tree, second, "new", 400);
    read = new_read(tree);
    (void)begin(read);
    assert_int_equal(tx_tree_rows(read, second), 1);
    assert_int_equal(tx_tree_rows(read, other), 3);
    assert_true(sees(read, other, a, a));
    assert_true(sees(read, second, a, NULL));
    tx_tree_read_free(read);
    tx_tree_close(tree);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(a_read_finds_the_table_of_its_time_in_a_slot),
        TEST(a_read_from_before_a_slot_was_used_finds_its_tables_empty),
        TEST(a_dropped_table_leaves_none_of_its_long_keys),
    };

    return cmocka_run_group_tests_name("slots of the tree", tests, NULL, NULL);
}
