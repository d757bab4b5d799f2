/*
 * test_tree_slots.c - tables that come after one another in a slot of the tree, and older formats.
 */
#include "tree_fixture.h"

#include <lmdb.h>

/* Put one record with LMDB itself; db NULL: in the main database. */
static void
raw_put(const char *db, const char *key, const void *value, size_t n)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    char k_copy[32];
    uint8_t v_copy[32];
    MDB_val k = { strlen(key), k_copy }, v = { n, v_copy };

    memcpy(k_copy, key, strlen(key));
    memcpy(v_copy, value, n);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_open(env, dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, db, db == NULL ? 0 : MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void
a_store_of_format_1_is_read_and_a_batch_makes_it_one_of_today(void **state)
{
    static const uint8_t checkpoint[16] = { 0x48, 0, 0, 0, 0, 0, 0, 0, 7 };
    struct tx_tree_read *read;
    struct tx_tree *tree;
    bool full;

    (void)state;
    tree = open_tree(MIB);
    tx_tree_close(tree);
    raw_put("meta", "format", "\x01\0\0", 4);
    raw_put("meta", "checkpoint", checkpoint, sizeof checkpoint);
    for (uint32_t format = 1; format <= TX_TREE_FORMAT; format++) {
        struct tx_tree_batch *batch;

        tree = open_tree(MIB);
        assert_int_equal(tx_tree_meta(tree)->format, format);
        assert_int_equal(tx_tree_meta(tree)->checkpoint_lsn, 0x48 + 8 * (format - 1));
        assert_int_equal(tx_tree_meta(tree)->checkpoint_check, 7);
        batch = begin_batch(tree);
        OK(define(batch, format));
        OK(put(batch, format, "k", "v"));
        OK(tx_tree_batch_commit(batch, 0x48 + 8 * format, 7, &full, &err));
        read = new_read(tree);
        (void)begin(read);
        assert_int_equal(tx_tree_rows(read, 1), 1);
        tx_tree_read_end(read);
        tx_tree_read_free(read);
        tx_tree_close(tree);
    }
}

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

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(a_store_of_format_1_is_read_and_a_batch_makes_it_one_of_today),
        TEST(a_read_finds_the_table_of_its_time_in_a_slot),
    };

    return cmocka_run_group_tests_name("slots of the tree", tests, NULL, NULL);
}
